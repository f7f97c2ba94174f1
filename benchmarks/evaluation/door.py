"""A client of the product's public socket (`miva.v1`): sends files, hears how far they are, asks and takes the time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.evaluation.scoring import Said, Source

PIECE = 128 * 1024
ANSWER_S = 120.0
UPLOAD_S = 120.0
QUIET_S = 3.0
"""Work tells of itself at least every second (contract, 3.3): so long without news, and all of it is done."""


@dataclass(slots=True)
class Upload:
    """A file on its way; `began`, `heard` (the last news) and `ready` are readings of the clock (perf_counter)."""

    id: str
    name: str
    began: float
    document: str = ""
    status: str = ""
    error: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    heard: float = 0.0
    ready: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it can be asked about and no work on it is known to be unfinished."""
        return self.status == "ready" and self.done >= self.total


class Door:
    """One open socket; made by `knock`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._uploads: dict[str, Upload] = {}
        self._turns: dict[str, asyncio.Queue[tuple[float, dict[str, Any]]]] = {}
        self._news = asyncio.Condition()
        self._failure: BaseException | None = None

    async def send_file(self, name: str, data: bytes) -> Upload:
        """Sends a PDF; returns when it has an id, by which it can be asked about, whether or not all of it has come."""
        await self._until(self._is_free, UPLOAD_S)  # a socket takes one upload at a time
        upload = Upload(str(uuid4()), name, time.perf_counter())
        self._uploads[upload.id] = upload
        begin = {
            "type": "upload",
            "id": upload.id,
            "name": name,
            "media_type": "application/pdf",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        await self._socket.send(json.dumps(begin))
        for at in range(0, len(data), PIECE):
            await self._socket.send(data[at : at + PIECE])
        await self._until(lambda: bool(upload.document), UPLOAD_S)
        return upload

    async def all_indexed(self, uploads: Sequence[Upload], seconds: float) -> float:
        """The moment of the last news about these files, once they are whole and it has been quiet."""
        deadline = time.perf_counter() + seconds
        while True:
            await self._until(
                lambda: all(upload.is_whole for upload in uploads), max(0.0, deadline - time.perf_counter())
            )
            last = max(upload.heard for upload in uploads)
            quiet_for = time.perf_counter() - last
            if quiet_for >= QUIET_S:
                return last
            await asyncio.sleep(QUIET_S - quiet_for)

    async def ask(self, message: str, files: Mapping[str, str], conversation: str = "") -> Said:
        """Asks about these documents (the file's path in the set by document id), in a conversation of its own where
        none is named.

        Raises RuntimeError where the turn ends with an error, TimeoutError where it does not end.
        """
        label = conversation or str(uuid4())
        events = self._turns[label] = asyncio.Queue()
        question = {
            "type": "ask",
            "id": str(uuid4()),
            "conversation": label,
            "message": message,
            "documents": list(files),
        }
        asked = time.perf_counter()
        await self._socket.send(json.dumps(question))
        first = 0.0
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    now, event = await events.get()
                    match event["type"]:
                        case "delta" | "reply":
                            first = first or now
                        case "done":
                            sources = tuple(_source(source, files) for source in event["sources"])
                            return Said(event["text"], sources, (first or now) - asked, now - asked)
                        case "error" | "cancelled":
                            raise RuntimeError(f"“{message}” came to nothing: {event}")
        finally:
            del self._turns[label]

    async def listen(self) -> None:
        """Takes frames until the socket closes, which everybody who waits is told."""
        try:
            async for frame in self._socket:
                await self._hear(json.loads(frame))
            self._failure = ConnectionError("The server closed the socket.")
        except BaseException as why:
            self._failure = why
            raise
        finally:
            async with self._news:
                self._news.notify_all()

    def _is_free(self) -> bool:
        return all(upload.status not in ("", "receiving") for upload in self._uploads.values())

    async def _hear(self, event: dict[str, Any]) -> None:
        now = time.perf_counter()
        label = event.get("conversation") or event.get("id")
        if label in self._turns:
            self._turns[label].put_nowait((now, event))
        elif event["type"] == "error":
            raise RuntimeError(f"The server did not take a frame: {event}")
        upload = self._uploads.get(event.get("id", ""))
        if upload is None or event["type"] not in ("document", "progress"):
            return
        async with self._news:
            upload.heard = now
            if event["type"] == "document":
                document = event["document"]
                upload.document, upload.status = document["id"], document["status"]
                upload.error = document.get("error", "")
                if upload.status == "ready":
                    upload.ready = upload.ready or now
            elif event["stage"] != "upload":
                upload.stage, upload.done, upload.total = event["stage"], event["done"], event["total"]
            self._news.notify_all()

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds), self._news:
            while not is_so():
                if self._failure is not None:
                    raise ConnectionError("The socket is closed.") from self._failure
                for upload in self._uploads.values():
                    if upload.status == "failed":
                        raise RuntimeError(f"{upload.name} was not taken: {upload.error}")
                await self._news.wait()


@asynccontextmanager
async def knock(url: str) -> AsyncIterator[Door]:
    """A socket of miva.v1 at this address, for somebody without an account."""
    opening = connect(url, subprotocols=[Subprotocol("miva.v1")], max_size=None, compression=None, proxy=None)
    async with opening as socket:
        door = Door(socket)
        listening = asyncio.create_task(door.listen())
        try:
            yield door
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await listening


def _source(told: dict[str, Any], files: Mapping[str, str]) -> Source:
    """A source in the set's own names; of a document that was not asked about, its id stays for all to see."""
    document = str(told["document"])
    return Source(files.get(document, document), told["page"], told["quote"], told.get("start"), told.get("end"))
