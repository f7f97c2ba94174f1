"""Bounds on what is taken at once of what an engine sends, by the kernel and by picows: a pause begins soon then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiohappyeyeballs
import picows

KERNEL_BUFFER = 16 * 1024
"""Bytes that the kernel may hold of what the engine sent. Left to itself it takes megabytes, picows reads as much at
once, and all of that is parsed before a pause can begin. Set before the connection is made: where it shrinks later, the
sender waits for half of the window it first saw, which never comes, and sends 5 times a second (0.2 MB/s from an engine
on the same machine; RFC 9293, section 3.8.6.2.1)."""
MOST_READ = 8 * 1024
"""Bytes read at once, so that a pause begins soon. Left to itself picows reads as much as its buffer holds, and doubles
that with each read that fills it: a hundred connections whose browsers did not read had 4 MB more."""
READ_BUFFER = 12 * 1024
"""Bytes of picows' buffer for what is read: it is doubled when more than nine tenths of it are full, so that MOST_READ
and the beginning of a small frame must be less than that."""
NEXT_ADDRESS_S = 0.25
"""After so long without an answer the next address of a name is tried too (RFC 8305, section 5)."""


async def connected_socket(address: picows.WSParsedURL) -> socket.socket:
    """A TCP connection to where the URL points; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=NEXT_ADDRESS_S, socket_factory=_bounded_socket
    )


def _bounded_socket(info: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    return made


class ReadsInBounds(asyncio.BufferedProtocol):
    """picows' own protocol, which is given MOST_READ bytes at once and not as many as there are.

    `after_read` is called when it has worked on what was read.
    """

    def __init__(self, inner: Any, after_read: Callable[[], None]) -> None:
        self._inner = inner
        self._after_read = after_read

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer: memoryview = self._inner.get_buffer(sizehint)
        return buffer[:MOST_READ]

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.buffer_updated(nbytes)
        self._after_read()

    def eof_received(self) -> bool | None:
        kept_open: bool | None = self._inner.eof_received()
        return kept_open

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
