"""uvicorn's WebSocket protocol with fewer system calls: frames of one turn of the event loop leave in one write.

uvicorn takes it by name, `--ws miva.uvicorn_protocol:JoiningProtocol`; `make run` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from miva import asgi_extension

MOST_HELD = 16 * 1024
"""Bytes that are held back at most, and that a slow reader may leave before the sender has to wait."""
SEND_BUFFER = 128 * 1024
"""Bytes that the kernel may hold for a reader (Linux doubles it). Left alone it takes up to 4 MB from the fast and the
deaf alike: 50 deaf readers then held 141 MB, and everybody else waited while these were written."""


class JoiningTransport(asyncio.Transport):
    """A transport whose first write in a turn of the loop goes out at once, and the others together at the turn's end.

    Nothing waits longer than the work that the loop is doing anyway, and a burst costs a few writes, not one a frame
    (with uvloop 0.23 each write is a system call, which is about half of a small frame's way through the relay).
    """

    __slots__ = ("_held", "_held_size", "_is_joining", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._held_size = 0
        self._is_joining = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_joining:
            self._is_joining = True
            self._loop.call_soon(self._end_turn)
            self._transport.write(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size >= MOST_HELD:
            self._write_held()

    def close(self) -> None:
        self._write_held()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._held_size + self._transport.get_write_buffer_size()

    def _end_turn(self) -> None:
        self._is_joining = False
        self._write_held()

    def _write_held(self) -> None:
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
            self._transport.write(held)


class JoiningProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol over a JoiningTransport, with a short way for what is nearly all: text on an open socket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # a Unix socket's bounds are its own
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=MOST_HELD)
        joining = JoiningTransport(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(joining)

    async def run_asgi(self) -> None:
        self.scope["extensions"][asgi_extension.SEND_TEXTS] = {}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """An ASGI message to the socket. All but text to a reader who keeps up goes uvicorn's own way."""
        match message["type"]:
            case "websocket.send" if message.get("text"):
                await self._send_texts((message["text"],))
            case asgi_extension.SEND_TEXTS:
                await self._send_texts(message["texts"])
            case kind:
                await super().send(message)
                if kind == "websocket.accept":  # its headers would else stay as long as the socket
                    del self.request, self.response

    async def _send_texts(self, texts: Iterable[str]) -> None:
        keeps_up = self._keeps_up()
        for text in texts:
            if keeps_up:
                self.transport.write(text_frame(text.encode()))
                keeps_up = self.writable.is_set()
            else:
                await super().send({"type": "websocket.send", "text": text})
                keeps_up = self._keeps_up()

    def _keeps_up(self) -> bool:
        return (
            self.writable.is_set()
            and self.conn.state is State.OPEN
            and not self.conn.extensions
            and not self.disconnected
            and not self.close_sent
        )


_HEADS = [bytes((0x81, size)) for size in range(126)]


def text_frame(payload: bytes) -> bytes:
    """A whole text frame as a server sends it: final, not masked (RFC 6455, sections 5.1 and 5.2)."""
    size = len(payload)
    if size < 126:
        return _HEADS[size] + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload
