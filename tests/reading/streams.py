"""Clients of the log over HTTP: the server-sent events of a conversation, and the calls beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tests.product import PATIENCE_S, Product

ENDS = {"done", "cancelled", "error"}


class Stream:
    """One answer of `text/event-stream` as it comes in."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.comments = 0
        self.ids: list[str] = []
        self._reader = reader
        self._lines: list[str] = []

    async def event(self) -> Any:
        """The next event's frame; None at the stream's end."""
        async with asyncio.timeout(PATIENCE_S):
            while (block := await self._block()) is not None:
                data = None
                for line in block:
                    if line.startswith(":"):
                        self.comments += 1
                    elif line.startswith("id: "):
                        self.ids.append(line.removeprefix("id: "))
                    else:
                        assert line.startswith("data: "), line
                        data = json.loads(line.removeprefix("data: "))
                if data is not None:
                    return data
        return None

    async def until(self, kind: str) -> list[Any]:
        """All events up to and with the next one of this type."""
        found = [await self.event()]
        while found[-1]["type"] != kind:
            found.append(await self.event())
        return found

    async def body(self) -> Any:
        """The whole JSON of an answer that is no stream."""
        text = await self._reader.read() if "content-length" not in self.headers else b""
        if "content-length" in self.headers:
            text = await self._reader.readexactly(int(self.headers["content-length"]))
        return json.loads(text)

    async def _block(self) -> list[str] | None:
        lines: list[str] = []
        while (line := await self._line()) is not None:
            if line == "" and lines:
                return lines
            if line:
                lines.append(line)
        return None

    async def _line(self) -> str | None:
        """The next line of the chunks; None at their end."""
        while not self._lines:
            size = await self._reader.readline()
            if not size or int(size, 16) == 0:
                return None
            chunk = await self._reader.readexactly(int(size, 16))
            await self._reader.readline()
            text = chunk.decode()
            assert text.endswith("\n"), "a chunk holds whole events"
            self._lines = text.split("\n")[:-1]
        return self._lines.pop(0)


@asynccontextmanager
async def request(product: Product, path: str, body: Any = None, **headers: str) -> AsyncIterator[Stream]:
    """A GET, or a POST of a JSON body; the connection closes with the block."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", product.port, limit=2**24)
        sent = {"Host": f"127.0.0.1:{product.port}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} | sent | {"Content-Length": str(len(data))}
        lines = [f"{'GET' if body is None else 'POST'} /{path} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        try:
            status = int((await reader.readline()).split()[1])
            found = {}
            while line := (await reader.readline()).decode("latin-1").strip():
                name, _, value = line.partition(": ")
                found[name.lower()] = value
        except BaseException:
            writer.close()
            raise
    try:
        yield Stream(reader, status, found)
    finally:
        writer.close()


def events(product: Product, name: str, after: int | str | None = None, **headers: str) -> Any:
    """The events of a conversation, as a block in which they come."""
    query = "" if after is None else f"?after={after}"
    return request(product, f"api/session/{quote(name, safe='')}/events/{query}", **headers)


async def call(product: Product, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One call; the status and the answer's JSON."""
    async with request(product, path, body, Connection="close", **headers) as answer:
        return answer.status, await answer.body()


async def ask(product: Product, name: str, body: Any, **headers: str) -> tuple[int, Any]:
    return await call(product, f"api/session/{quote(name, safe='')}/ask/", body, **headers)


async def cancel(product: Product, name: str, turn: str, **headers: str) -> tuple[int, Any]:
    return await call(product, f"api/session/{quote(name, safe='')}/cancel/", {"turn": turn}, **headers)


async def token_of_somebody(product: Product) -> str:
    """The token of an account that is made for this."""
    person = {"username": f"person{uuid4().hex}", "password": "correct horse battery"}
    await call(product, "api/signup/", person | {"email": f"{person['username']}@example.org"})
    status, tokens = await call(product, "api/login/", person)
    assert status == 200, tokens
    return str(tokens["token"])
