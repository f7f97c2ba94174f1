"""Small proxies that spoil what passes through them, as misconfigured ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

Pass = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Brings what a client sends to the server."""


@asynccontextmanager
async def proxy(port: int, upstream: Pass) -> AsyncIterator[str]:
    """Listens on a free port in front of the server on `port`; gives its http address."""

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            to_client.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            to_client.close()
            return
        ways = [asyncio.create_task(upstream(client, to_server)), asyncio.create_task(unchanged(server, to_client))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in (to_server, to_client):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def unchanged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def without_upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As nginx without its two lines: every request goes on, the wish for a socket does not."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"upgrade:", b"connection:"))]
    writer.write(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]))
    await unchanged(reader, writer)


def renamed(host: str) -> Pass:
    """As a proxy that passes on a name of its own instead of the one that was asked for."""

    async def rename(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"host:")]
        writer.write(b"\r\n".join([lines[0], b"Host: " + host.encode(), *lines[1:]]))
        await unchanged(reader, writer)

    return rename


def at_most(limit: int) -> Pass:
    """Ends a connection that has sent more than so many bytes without a pause, as a firewall does with large frames."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        with suppress(OSError):
            while data := await reader.read(65536):
                sent += len(data)
                if sent > limit:
                    return
                writer.write(data)
                await writer.drain()

    return cut
