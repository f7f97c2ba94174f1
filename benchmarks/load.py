"""The load client of the plain dialect: questions over real sockets.

`ping_pong` and `frame_delays` measure at rest, `burst` when saturated. They run in the calling thread, which is put on
`core` meanwhile, and end by themselves: they raise RuntimeError where an answer does not come, or is not the engine's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from functools import lru_cache

import picows
import uvloop

from benchmarks import engine
from benchmarks.clients import CONTROL, PATIENCE_S, Burst, Counter, Latencies, Timer, burst_over, latencies, on_core


def ping_pong(url: str, core: int, count: int, *, pause_s: float = 0.002, message: str = "reply") -> Latencies:
    """Asks `count` questions one after the other on one socket, with a pause in between; the first is not counted.

    Counted is the time from a question to the first frame of its answer.
    """
    with on_core(core):
        return uvloop.run(_ping_pong(url, count, pause_s, message))


def frame_delays(url: str, core: int, count: int, *, size: int, every_ms: int) -> Latencies:
    """The time from when the engine sends a frame until it is here, of `count` frames with a pause in between."""
    with on_core(core):
        return uvloop.run(_frame_delays(url, count, size, every_ms))


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


def question(message: str, unique_id: str) -> bytes:
    """A question of the plain dialect."""
    return json.dumps({"message": message, "type": "chat", "unique_id": unique_id}).encode()


class _PingPong(Timer):
    """The next question goes out a pause after the answer, from the loop itself: no task is woken in between."""

    def __init__(self, count: int, pause_s: float, message: str) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._left = count + 1
        self._pause_s = pause_s
        self._message = message
        self._expected = engine.reply(message if message.startswith("reply") else "answered")
        self._asked_at = 0.0

    def go(self) -> None:
        frame = question(self._message, self.label)
        self._asked_at = time.perf_counter()
        self.send(frame)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        now = time.perf_counter()
        if frame.msg_type in CONTROL:
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


class _Paced(Timer):
    """Takes the time of every frame of one paced answer but the first, which is late because of the question."""

    def __init__(self, count: int, size: int, every_ms: int) -> None:
        super().__init__()
        self._count = count
        self._script = f"paced {count} {size} {every_ms}"

    def go(self) -> None:
        self.send(question(self._script, self.label))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in CONTROL:
            return
        piece = frame.get_payload_as_bytes().removeprefix(engine.HEAD).removesuffix(engine.TAIL).decode()
        try:
            self.seconds.append(engine.seconds_since(piece, len(self.seconds)))
        except RuntimeError as why:
            self.fail(str(why))
        if len(self.seconds) == self._count:
            self.finish()


class _Counter(Counter):
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

    @property
    def lost(self) -> int:
        return len(self._missing) + self._frames - self._next

    @property
    def heard(self) -> int:
        """Frames so far, those that came twice included: grows with every one of them."""
        return self._next - len(self._missing) + self.reordered

    def open_the_way(self) -> None:
        self.send(question("reply", self.label))

    def go(self) -> None:
        self._is_asked = True
        self.begin_anew()
        self.send(question(f"burst {self._frames} {self._size}", self.label))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.get_payload_as_bytes() == self._expected[self._next]:
            self._next += 1
            if self._next == self._frames:
                self._end()
        elif frame.msg_type not in CONTROL:
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


@lru_cache(maxsize=4)
def _expected(frames: int, size: int) -> tuple[bytes | None, ...]:
    """A burst's payloads, and nothing behind the last."""
    return (*(engine.frame(number, size) for number in range(frames)), None)


async def _ping_pong(url: str, count: int, pause_s: float, message: str) -> Latencies:
    return await latencies(url, _PingPong(count, pause_s, message), PATIENCE_S + count * (pause_s + 0.1))


async def _frame_delays(url: str, count: int, size: int, every_ms: int) -> Latencies:
    return await latencies(url, _Paced(count, size, every_ms), PATIENCE_S + count * every_ms / 100)


async def _burst(
    url: str, sockets: int, frames: int, size: int, ready: Callable[[], None], ended: Callable[[], None]
) -> Burst:
    counters = [_Counter(frames, size) for _ in range(sockets)]
    wall_s = await burst_over(url, counters, ready, ended)
    lost = sum(counter.lost for counter in counters)
    reordered = sum(counter.reordered for counter in counters)
    return Burst(sockets * frames, sockets * frames - lost, lost, reordered, wall_s)
