"""A real engine process and a client that speaks to it; the client's waits end with a message, never hang."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.typing import Subprotocol

ROOT = Path(__file__).parents[2]
V1 = "miva.engine.v1"
HELLO: dict[str, Any] = {"type": "hello", "name": "miva", "models": ["extractive"], "embedding_dim": 384}
PATIENCE_S = 60


class Engine:
    """`python -m miva.engine` as a process; on a Unix socket, or on a free port of this machine.

    `config` is handed over as the relay hands it over, `environment` goes on top of this process's, and `inside` is a
    command that runs the engine's. `hello` is what a new connection must be told first.
    """

    def __init__(
        self,
        data: Path,
        *more: str,
        socket: Path | None = None,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        self.data, self.socket = data, socket
        self.hello = HELLO | {"models": [*_models(config), *HELLO["models"]]}
        where = ["--socket", str(socket)] if socket else ["--port", "0"]
        command = [*inside, sys.executable, "-m", "miva.engine", *where, "--data", str(data), "--until-stdin-closes"]
        handed = [_pipe_with(config)] if config is not None else []
        self.process = subprocess.Popen(
            [*command, *(word for pipe in handed for word in ("--config", str(pipe))), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            pass_fds=handed,
        )
        for pipe in handed:
            os.close(pipe)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        if not self.line:
            raise RuntimeError(f"The engine did not start: {self.process.communicate()[1]}")

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> str:
        """End it by closing its standard input; what it wrote to standard error."""
        errors: str = self.process.communicate(timeout=PATIENCE_S)[1]
        return errors

    @asynccontextmanager
    async def open(self, *, v1: bool = False) -> AsyncIterator[Client]:
        """A connection; with `v1` the subprotocol is asked for and the hello frame is checked."""
        offered = [Subprotocol("something.else"), Subprotocol(V1)] if v1 else None
        if self.socket:
            opening = unix_connect(str(self.socket), "ws://localhost/ws/chat", subprotocols=offered, max_size=None)
        else:
            opening = connect(self.line.split()[-1] + "ws/chat", subprotocols=offered, max_size=None)
        async with opening as connection:
            client = Client(connection)
            if v1:
                assert await client.get() == self.hello
            yield client


def _models(config: Mapping[str, Any] | None) -> list[str]:
    llm = (config or {}).get("llm") or {"models": []}
    return [endpoint["model"] for endpoint in llm["models"]]


def _pipe_with(config: Mapping[str, Any]) -> int:
    """The reading end of a pipe that holds a configuration."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        json.dump(config, pipe)
    return reading


class Client:
    """Sends and reads JSON frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def get(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(PATIENCE_S):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        return frame

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All frames up to the first of this type, that one included."""
        frames = [await self.get()]
        while frames[-1]["type"] != kind:
            frames.append(await self.get())
        return frames

    async def ask(self, message: str, **more: Any) -> dict[str, Any]:
        """The one frame that answers a question; how far a long document's vectors are may be told before it."""
        await self.send(message=message, type="chat", unique_id="u", **more)
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next frame that does not tell how far the engine is with its other work."""
        while (frame := await self.get())["type"] == "progress":
            continue
        return frame

    async def streamed(self, message: str, **more: Any) -> list[dict[str, Any]]:
        """The frames that answer a question, `thinking` first and `done` last; progress is passed over."""
        await self.send(**{"message": message, "type": "chat", "unique_id": "u", "stream": True} | more)
        return [frame for frame in await self.until("done") if frame["type"] != "progress"]

    async def begin(
        self, pages: Sequence[str], name: str = "d.pdf", *, owner: str = "alice", announced: int | None = None
    ) -> str:
        """Announce a document (of more pages where `announced` says so) and send pages, but not the end; its id."""
        document = hashlib.sha256("\f".join(pages).encode()).hexdigest()
        await self.send(type="document", id=document, name=name, pages=announced or len(pages), owner=owner)
        for number, text in enumerate(pages, 1):
            await self.send(type="page", id=document, page=number, text=text)
        return document

    async def store(
        self,
        pages: Sequence[str],
        name: str = "d.pdf",
        *,
        owner: str = "alice",
        outline: Sequence[tuple[int, str, int]] = (),
    ) -> str:
        """Send a whole document, with its bookmarks (level, title, page), and wait until it is indexed; its id."""
        document = await self.begin(pages, name, owner=owner)
        marks = [{"level": level, "title": title, "page": page} for level, title, page in outline]
        await self.send(type="document_end", id=document, **{"outline": marks} if marks else {})
        indexed = (await self.until("indexed"))[-1]
        assert indexed["id"] == document
        return document

    async def settle(self, document: str) -> None:
        """Returns once a stored document has all its vectors: a question about it is told of none to come.

        Of the last few nothing is told, but each question waits half a second for them: several in a row are as good.
        They are made with what the machine has to spare, so patience is counted from the last that came.
        """
        quiet, made = 0, -1
        until = time.monotonic() + PATIENCE_S
        while quiet < 10:
            await self.send(message="hello", type="chat", unique_id="settle", stream=True, documents=[document])
            frames = await self.until("done")
            told = [frame["done"] for frame in frames if frame["type"] == "progress" and frame["done"] < frame["total"]]
            quiet = 0 if told else quiet + 1
            if told:
                if told[-1] != made:
                    made, until = told[-1], time.monotonic() + PATIENCE_S
                assert time.monotonic() < until, f"no vector came for {PATIENCE_S} seconds"
                await asyncio.sleep(0.05)


def pages_of(answer: dict[str, Any]) -> list[int | None]:
    """The pages of an answer's sources, best first."""
    return [source["page"] for source in answer["sources"]]
