"""The load client: questions over real sockets, with next to no Python per frame (picows, uvloop).

`ping_pong` measures at rest, `burst` when saturated; both run in the calling thread, which is put on `core` meanwhile.
Both end by themselves: they raise RuntimeError where an answer does not come or is not what the engine sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import uuid4

import picows
import uvloop

from benchmarks import engine

PATIENCE_S = 60.0
"""How long an answer may take before it counts as missing."""
QUIET_S = 5.0
"""Silence in the middle of a burst after which the rest counts as lost."""
LARGEST_FRAME = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from a question to the first frame of its answer, ascending."""

    seconds: list[float]

    def percentile(self, percent: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * percent / 100))]

    @property
    def p50(self) -> float:
        return self.percentile(50)

    @property
    def p95(self) -> float:
        return self.percentile(95)


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of a burst: all sockets together. `wall_s` is from the first question to the last frame."""

    asked: int
    seen: int
    lost: int
    reordered: int
    """Frames that came after one with a higher number, or twice."""
    wall_s: float


def ping_pong(url: str, core: int, count: int, *, pause_s: float = 0.002, message: str = "reply") -> Latencies:
    """Asks `count` questions one after the other on one socket, with a pause in between; the first is not counted."""
    with on_core(core):
        return uvloop.run(_ping_pong(url, count, pause_s, message))


def burst(
    url: str,
    core: int,
    *,
    sockets: int,
    frames: int,
    size: int,
    ready: Callable[[], None] = lambda: None,
    ended: Callable[[], None] = lambda: None,
) -> Burst:
    """Asks for `frames` frames of `size` characters over each of so many sockets at once, and checks every byte.

    All sockets are open and have been answered once when `ready` is called; `ended` is called right after the last
    frame, while they are still open.
    """
    with on_core(core):
        return uvloop.run(_burst(url, sockets, frames, size, ready, ended))


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keeps the calling thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def question(message: str, unique_id: str) -> bytes:
    """A question of the plain dialect."""
    return json.dumps({"message": message, "type": "chat", "unique_id": unique_id}).encode()


class _Asker(picows.WSListener):
    """One socket, and the future that its next end settles."""

    def __init__(self) -> None:
        self.label = str(uuid4())
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: picows.WSTransport

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        self.fail("The socket was closed")

    def ask(self, message: str) -> None:
        self.transport.send(picows.WSMsgType.TEXT, question(message, self.label))

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def fail(self, why: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(RuntimeError(why))


class _PingPong(_Asker):
    """The next question goes out a pause after the answer, from the loop itself: no task is woken in between."""

    def __init__(self, count: int, pause_s: float, message: str) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._left = count + 1
        self._pause_s = pause_s
        self._message = message
        self._expected = engine.reply(message if message.startswith("reply") else "answered")
        self._asked_at = 0.0
        self.seconds: list[float] = []

    def go(self) -> None:
        frame = question(self._message, self.label)
        self._asked_at = time.perf_counter()
        self.transport.send(picows.WSMsgType.TEXT, frame)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        now = time.perf_counter()
        if frame.msg_type in _CONTROL:
            return
        if frame.get_payload_as_bytes() != self._expected:
            self.fail(f"Not what the engine says: {frame.get_payload_as_bytes()[:200]!r}")
            return
        self.seconds.append(now - self._asked_at)
        self._left -= 1
        if self._left:
            self._loop.call_later(self._pause_s, self.go)
        else:
            self.finish()


class _Counter(_Asker):
    """Compares each frame with the one that comes next; only what differs is looked at closely."""

    def __init__(self, frames: int, size: int) -> None:
        super().__init__()
        self._frames = frames
        self._size = size
        self._expected = _expected(frames, size)
        self._is_asked = False
        self._next = 0
        """One more than the highest number seen."""
        self._missing: set[int] = set()
        """Numbers below it that were not."""
        self.reordered = 0
        self.ended_at = 0.0

    @property
    def lost(self) -> int:
        return len(self._missing) + self._frames - self._next

    @property
    def heard(self) -> int:
        """Frames so far, those that came twice included: grows with every one of them."""
        return self._next - len(self._missing) + self.reordered

    def open_the_way(self) -> None:
        """A first question, so that what a relay does only once is done."""
        self.ask("reply")

    def go(self) -> None:
        self._is_asked = True
        self.finished = asyncio.get_running_loop().create_future()
        self.ask(f"burst {self._frames} {self._size}")

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.get_payload_as_bytes() == self._expected[self._next]:
            self._next += 1
            if self._next == self._frames:
                self._end()
        elif frame.msg_type not in _CONTROL:
            self._look(frame.get_payload_as_bytes())

    def _look(self, payload: bytes) -> None:
        if not self._is_asked and payload == engine.reply("reply"):
            self.finish()
            return
        digits = payload.removeprefix(engine.HEAD).split(b" ")[0]
        if not digits.isdigit() or payload != engine.frame(int(digits), self._size):
            self.fail(f"Not what the engine says: {payload[:200]!r}")
            return
        number = int(digits)
        if number < self._next:
            self.reordered += 1
            self._missing.discard(number)
        else:
            self._missing.update(range(self._next, number))
            self._next = number + 1
        self._end()

    def _end(self) -> None:
        if not self.lost:
            self.ended_at = time.perf_counter()
            self.finish()


_CONTROL = (picows.WSMsgType.PING, picows.WSMsgType.PONG, picows.WSMsgType.CLOSE)


@lru_cache(maxsize=4)
def _expected(frames: int, size: int) -> tuple[bytes | None, ...]:
    """A burst's payloads, and nothing behind the last."""
    return (*(engine.frame(number, size) for number in range(frames)), None)


async def _ping_pong(url: str, count: int, pause_s: float, message: str) -> Latencies:
    listener = _PingPong(count, pause_s, message)
    async with _sockets(url, [listener]):
        listener.go()
        async with asyncio.timeout(PATIENCE_S + count * (pause_s + 0.1)):
            await listener.finished
    return Latencies(sorted(listener.seconds[1:]))


async def _burst(
    url: str, sockets: int, frames: int, size: int, ready: Callable[[], None], ended: Callable[[], None]
) -> Burst:
    counters = [_Counter(frames, size) for _ in range(sockets)]
    async with _sockets(url, counters):
        for counter in counters:
            counter.open_the_way()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(counter.finished for counter in counters))
        ready()
        started = time.perf_counter()
        for counter in counters:
            counter.go()
        quiet_since = await _all_or_quiet(counters)
        ended()
    ended_at = max(counter.ended_at for counter in counters) if quiet_since is None else quiet_since
    lost = sum(counter.lost for counter in counters)
    reordered = sum(counter.reordered for counter in counters)
    return Burst(sockets * frames, sockets * frames - lost, lost, reordered, ended_at - started)


async def _all_or_quiet(counters: list[_Counter]) -> float | None:
    """Returns when every frame came, or, with the time of the last one, when nothing has come for QUIET_S."""
    heard, heard_at = 0, time.perf_counter()
    waiting: set[asyncio.Future[None]] = {counter.finished for counter in counters}
    while True:
        done, waiting = await asyncio.wait(waiting, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
        for future in done:
            future.result()
        if not waiting:
            return None
        so_far = sum(counter.heard for counter in counters)
        if so_far != heard:
            heard, heard_at = so_far, time.perf_counter()
        elif time.perf_counter() - heard_at > QUIET_S:
            return heard_at


@contextlib.asynccontextmanager
async def _sockets(url: str, listeners: Sequence[_Asker]) -> AsyncIterator[None]:
    """Opens a socket for each, and closes all of them in the end."""
    try:
        for listener in listeners:
            await picows.ws_connect(lambda listener=listener: listener, url, max_frame_size=LARGEST_FRAME)
        yield
    finally:
        opened = [listener.transport for listener in listeners if hasattr(listener, "transport")]
        for transport in opened:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        for listener in listeners:
            listener.finish()
            listener.finished.exception()  # one socket's failure is raised; the others' need no words of their own
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(transport.wait_disconnected() for transport in opened))
