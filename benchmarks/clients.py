"""What load clients of all dialects share: sockets on picows and uvloop, with next to no Python per frame."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import picows

PATIENCE_S = 60.0
"""How long an answer may take before it counts as missing."""
QUIET_S = 5.0
"""Silence in the middle of a burst after which the rest counts as lost."""
LARGEST_FRAME = 64 * 2**20
CONTROL = (picows.WSMsgType.PING, picows.WSMsgType.PONG, picows.WSMsgType.CLOSE)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds that something took, ascending."""

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


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keeps the calling thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Asker(picows.WSListener):
    """One socket, and the future that its next end settles; `label` is its conversation's."""

    def __init__(self) -> None:
        self.label = str(uuid4())
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: picows.WSTransport

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        self.fail("The socket was closed")

    def send(self, frame: bytes) -> None:
        self.transport.send(picows.WSMsgType.TEXT, frame)

    def begin_anew(self) -> None:
        """From here on it has another end."""
        self.finished = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def fail(self, why: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(RuntimeError(why))


class Timer(Asker, ABC):
    """Asks when told to `go`, and notes the `seconds` of what it measures; the first are of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    @abstractmethod
    def go(self) -> None:
        """Sends the first question."""


class Counter(Asker, ABC):
    """A socket of a burst: `open_the_way` asks a first question, so that what a relay does only once is done, and
    `go` asks for the burst. `heard` grows with every frame; `ended_at` is when the last came."""

    ended_at = 0.0

    @property
    @abstractmethod
    def heard(self) -> int:
        """How much came so far."""

    @abstractmethod
    def open_the_way(self) -> None:
        """Sends the first question."""

    @abstractmethod
    def go(self) -> None:
        """Asks for the burst."""


async def latencies(url: str, timer: Timer, within_s: float, subprotocol: str | None = None) -> Latencies:
    """What a timer measures, but for the first. Raises RuntimeError for a wrong answer, TimeoutError for a late one."""
    async with opened(url, [timer], subprotocol):
        timer.go()
        async with asyncio.timeout(within_s):
            await timer.finished
    return Latencies(sorted(timer.seconds[1:]))


async def burst_over(
    url: str,
    counters: Sequence[Counter],
    ready: Callable[[], None],
    ended: Callable[[], None],
    subprotocol: str | None = None,
) -> float:
    """Has all of them go at once; seconds from there to the last frame. Raises RuntimeError for a wrong frame.

    All sockets are open and have been answered once when `ready` is called; `ended` is called right after the last
    frame, while they are still open.
    """
    async with opened(url, counters, subprotocol):
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
    return (max(counter.ended_at for counter in counters) if quiet_since is None else quiet_since) - started


async def _all_or_quiet(counters: Sequence[Counter]) -> float | None:
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
async def opened(url: str, askers: Sequence[Asker], subprotocol: str | None = None) -> AsyncIterator[None]:
    """Opens a socket for each, and closes all of them in the end."""
    headers = None if subprotocol is None else {"Sec-WebSocket-Protocol": subprotocol}
    try:
        for asker in askers:
            await picows.ws_connect(lambda asker=asker: asker, url, max_frame_size=LARGEST_FRAME, extra_headers=headers)
        yield
    finally:
        transports = [asker.transport for asker in askers if hasattr(asker, "transport")]
        for transport in transports:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        for asker in askers:
            asker.finish()
            asker.finished.exception()  # one socket's failure is raised; the others' need no words of their own
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(transport.wait_disconnected() for transport in transports))
