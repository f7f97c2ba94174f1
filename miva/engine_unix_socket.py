"""The same as `engine_socket`, over a Unix socket: how the embedded engine is reached.

picows sets TCP's options on every connection, which a Unix socket refuses (and then it crashes); so this one is on
`websockets`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from picows import WSCloseCode
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from miva.engine_socket import CLOSE_S, PING_S, SocketEnded


class UnixEngineSocket:
    """One open connection, for text; made by `connect`. The methods are those of EngineSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol: str | None = connection.subprotocol

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as why:
            raise _ended(why) from why
        if isinstance(message, bytes):
            raise SocketEnded(WSCloseCode.UNSUPPORTED_DATA)
        return message

    async def receive_all(self) -> Sequence[str]:
        return [await self.receive()]

    async def send(self, text: str, *, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._connection.send(text)
        except ConnectionClosed as why:
            raise _ended(why) from why

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        self._connection.transport.abort()


async def connect(
    path: Path, *, subprotocol: str | None, most: int, within_s: float, ping_timeout_s: float
) -> UnixEngineSocket:
    """Opens a connection; raises OSError with what went wrong. The arguments are those of `engine_socket.connect`."""
    try:
        connection = await unix_connect(
            str(path),
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            compression=None,
            max_size=most,
            open_timeout=within_s,
            ping_interval=PING_S,
            ping_timeout=ping_timeout_s,
            close_timeout=CLOSE_S,
        )
    except (WebSocketException, EOFError, ValueError) as why:
        raise OSError(str(why)) from why
    return UnixEngineSocket(connection)


def _ended(why: ConnectionClosed) -> SocketEnded:
    has_said = why.sent is not None and not why.rcvd_then_sent
    known = has_said and why.sent is not None and why.sent.code in {code.value for code in WSCloseCode}
    said = WSCloseCode(why.sent.code) if known and why.sent is not None else None
    return SocketEnded(said, clean=why.rcvd is not None)
