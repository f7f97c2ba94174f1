"""A WebSocket to an engine, on picows: frames in order, a bound in size on what waits to be read, one way to end.

picows' own interface in the style of `websockets` bounds its queue by the number of frames, which says nothing about
memory (16 frames of 1 MiB pass unnoticed); and taking all that has come in one step costs less than frame by frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import picows
from picows import WSCloseCode, WSFrame, WSMsgType, WSTransport

from miva.bounded_reads import READ_BUFFER, ReadsInBounds, connected_socket

MOST_WAITING = 8 * 1024
"""Characters that may wait to be read before the engine's socket is left alone; one frame may exceed it."""
PING_S = 20.0
"""Silence of the engine after which it is pinged."""
CLOSE_S = 1.0
_HANDSHAKE_SLACK_S = 0.5

_logger = logging.LoggerAdapter(logging.getLogger("picows"))  # an adapter, or picows makes a logger for each connection
_logger.logger.setLevel(logging.CRITICAL)  # what goes wrong is told by whoever used the socket
_CONTROL = (WSMsgType.PING, WSMsgType.PONG)
_TEXT = WSMsgType.TEXT  # looking a member up takes as long as the rest of the comparison seven times


class Refused(OSError):
    """The engine answers, but takes no WebSocket as it was asked to."""


class SocketEnded(Exception):
    """The connection is over. `said` is the close code that this side chose because the engine broke a rule, or None.

    `clean`: the engine ended it with a close frame.
    """

    def __init__(self, said: WSCloseCode | None = None, *, clean: bool = False) -> None:
        super().__init__(said)
        self.said = said
        self.clean = clean


class EngineSocket(picows.WSListener):
    """One open connection, for text; made by `connect`. All methods belong to the event loop it was made in."""

    def __init__(self, most: int, ping_timeout_s: float) -> None:
        self.subprotocol: str | None = None
        self._most = most
        self._ping_timeout_s = ping_timeout_s
        self._silent_s = 0.0
        self._pinging: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._frames: deque[str] = deque()
        self._waiting = 0
        self._is_paused = False
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._end: SocketEnded | None = None
        self._farewell: asyncio.Task[None] | None = None

    async def receive(self) -> str:
        """The next message; raises SocketEnded once all that came before the end was given out."""
        if not self._frames:
            await self._some()
        message = self._frames.popleft()
        self._waiting -= len(message)
        self._go_on_reading()
        return message

    async def receive_all(self) -> Sequence[str]:
        """The messages that have come, at least one; raises SocketEnded as `receive` does."""
        if not self._frames:
            await self._some()
        messages, self._frames = self._frames, deque()
        self._waiting = 0
        self._go_on_reading()
        return messages

    async def send(self, text: str, *, within_s: float) -> None:
        """Sends a text message; returns when the socket takes more. Raises SocketEnded, or TimeoutError."""
        if self._end is not None or self._transport is None:
            raise self._end or SocketEnded()
        self._transport.send(WSMsgType.TEXT, text)
        if not self._writable.is_set():
            async with asyncio.timeout(within_s):
                await self._writable.wait()
            if self._end is not None:
                raise self._end

    async def close(self) -> None:
        """Says goodbye and waits CLOSE_S for the other side's; then the connection is cut."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        self._resume()  # the other side's goodbye stands behind what nobody read
        try:
            async with asyncio.timeout(CLOSE_S):
                await _settled(transport)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.disconnect(False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        below = transport.underlying_transport
        below.set_protocol(ReadsInBounds(below.get_protocol(), self._after_read))
        self._pinging = self._loop.call_later(PING_S, self._ping)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        self._silent_s = 0.0
        if self._end is not None:
            return
        if kind == _TEXT and frame.fin and not (self._parts or frame.rsv1 or frame.payload_size > self._most):
            try:
                self._take(frame.get_payload_as_utf8_text())
            except UnicodeDecodeError:
                self._refuse(WSCloseCode.INVALID_TEXT)
        elif kind == WSMsgType.CLOSE:
            self._finish(SocketEnded(clean=True))
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind == WSMsgType.BINARY:
            self._refuse(WSCloseCode.UNSUPPORTED_DATA)
        elif kind not in _CONTROL:
            self._take_part(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        handshake = transport.close_handshake
        has_said = handshake is not None and handshake.sent is not None and not handshake.recv_then_sent
        said = handshake.sent.code if has_said and handshake.sent is not None else None
        self._finish(SocketEnded(said, clean=handshake is not None and handshake.recv is not None))
        self._writable.set()
        if self._pinging is not None:
            self._pinging.cancel()
        self._farewell = self._loop.create_task(_settled(transport))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _ping(self) -> None:
        """Keeps a quiet connection open, which proxies cut, and finds out that a dead one is dead.

        (picows' own pings want their answer sooner than the next one is due, and a busy engine may take longer.)
        """
        if self._transport is None or self._end is not None:
            return
        if self._is_paused or self._silent_s < self._ping_timeout_s + PING_S:
            self._transport.send_ping()
            self._silent_s += PING_S
            self._pinging = self._loop.call_later(PING_S, self._ping)
        else:
            self._finish(SocketEnded())
            self.abort()

    def _take(self, message: str) -> None:
        """Whoever waits for it is woken when all that was read at once has been taken."""
        self._frames.append(message)
        self._waiting += len(message)
        if self._waiting > MOST_WAITING and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.underlying_transport.pause_reading()

    def _after_read(self) -> None:
        if self._frames:
            self._wake()

    def _take_part(self, frame: WSFrame) -> None:
        """A piece of a message in several frames (RFC 6455, section 5.4)."""
        is_first = frame.msg_type != WSMsgType.CONTINUATION
        if frame.rsv1 or is_first == bool(self._parts):
            self._refuse(WSCloseCode.PROTOCOL_ERROR)
            return
        self._parts.append(frame.get_payload_as_bytes())
        self._parts_size += frame.payload_size
        if self._parts_size > self._most:
            self._refuse(WSCloseCode.MESSAGE_TOO_BIG)
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts, self._parts_size = [], 0
            try:
                self._take(whole.decode())
            except UnicodeDecodeError:
                self._refuse(WSCloseCode.INVALID_TEXT)

    def _refuse(self, code: WSCloseCode) -> None:
        self._finish(SocketEnded(code))
        assert self._transport is not None
        self._transport.send_close(code)
        self._transport.disconnect()

    def _finish(self, end: SocketEnded) -> None:
        if self._end is None:
            self._end = end
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _some(self) -> None:
        """Returns when a message waits to be read; raises SocketEnded where none will come any more."""
        while not self._frames:
            if self._end is not None:
                raise self._end
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _go_on_reading(self) -> None:
        if self._is_paused and self._waiting <= MOST_WAITING // 2:
            self._resume()

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None and not self._transport.is_disconnected:
            self._is_paused = False
            self._transport.underlying_transport.resume_reading()


async def connect(
    url: str,
    *,
    subprotocol: str | None = None,
    most: int,
    within_s: float,
    ping_timeout_s: float,
) -> EngineSocket:
    """Opens a connection; raises Refused, or OSError with what went wrong. Redirects are not followed, nothing is
    compressed.

    `subprotocol` is offered, not demanded; `most` are
    the bytes of the largest message taken; an engine is pinged, and given up once nothing came for `ping_timeout_s`.
    """
    offered = [("Sec-WebSocket-Protocol", subprotocol)] if subprotocol else None
    try:
        async with asyncio.timeout(within_s + _HANDSHAKE_SLACK_S):
            transport, listener = await picows.ws_connect(
                lambda: EngineSocket(most, ping_timeout_s),
                url,
                websocket_handshake_timeout=within_s,
                logger_name=_logger,
                max_frame_size=most,
                extra_headers=offered,
                max_redirects=0,
                proxy=_proxy_for(url),
                socket_factory=connected_socket,
                read_buffer_init_size=READ_BUFFER,
            )
    except picows.WSInvalidStatusError as why:
        raise Refused(str(why)) from why
    except (picows.WSError, ValueError, EOFError) as why:
        raise OSError(str(why)) from why
    if not isinstance(listener, EngineSocket):
        raise OSError("the engine hung up in the middle of the handshake")
    selected = transport.response.headers.get("Sec-WebSocket-Protocol")
    if selected not in (None, subprotocol):
        listener.abort()
        raise OSError("the engine selected a subprotocol that was not offered")
    listener.subprotocol = selected
    return listener


async def _settled(transport: WSTransport) -> None:
    """Waits for a connection's end, of which picows tells with the error that caused it."""
    with contextlib.suppress(picows.WSError):
        await transport.wait_disconnected()


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this address, as it does for HTTP."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.hostname in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("https" if parts.scheme == "wss" else "http")
