"""The load client of miva.v1: the same measurements as `benchmarks/load.py`, on the durable path.

Every socket has a conversation of its own, and every event must have the number that comes next.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import uuid4

import picows
import uvloop

from benchmarks import engine
from benchmarks.clients import (
    CONTROL,
    PATIENCE_S,
    Asker,
    Burst,
    Counter,
    Latencies,
    Timer,
    burst_over,
    latencies,
    on_core,
)

SUBPROTOCOL = "miva.v1"


def ping_pong(url: str, core: int, count: int, *, pause_s: float) -> Latencies:
    """Asks `count` questions one after the other in one conversation, a pause after each end; the first is not counted.

    Counted is the time from a question to the first piece of its answer.
    """
    with on_core(core):
        return uvloop.run(_ping_pong(url, count, pause_s))


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
    """Has the engine send `frames` frames of `size` characters for each of so many sockets at once.

    Every character is compared; the relay may join frames. `ready` and `ended` are called as in `load.burst`.
    """
    with on_core(core):
        return uvloop.run(_burst(url, sockets, frames, size, ready, ended))


def question(message: str, label: str) -> bytes:
    """A question of miva.v1 in the conversation of this label."""
    return json.dumps({"type": "ask", "id": str(uuid4()), "conversation": label, "message": message}).encode()


@lru_cache(maxsize=4)
def text_of_burst(frames: int, size: int) -> str:
    """The whole answer to a `burst`."""
    return b"".join(engine.content(number, size) for number in range(frames)).decode()


class _V1Asker(Asker, ABC):
    """A socket that fails for anything but the events of an answer in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._seq = 0

    def ask(self, message: str) -> None:
        self.send(question(message, self.label))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        now = time.perf_counter()
        if frame.msg_type in CONTROL:
            return
        event = json.loads(frame.get_payload_as_bytes())
        if event["type"] == "hello" and not self._seq:
            return
        if event["type"] not in ("accepted", "thinking", "delta", "done") or event["seq"] != self._seq + 1:
            self.fail(f"Not the event behind {self._seq} of an answer: {str(event)[:300]}")
            return
        self._seq += 1
        try:
            self.hear(event, now)
        except RuntimeError as why:
            self.fail(str(why))

    @abstractmethod
    def hear(self, event: dict[str, Any], now: float) -> None:
        """Takes the next event; raises RuntimeError where it is not what the engine said."""


class _PingPong(_V1Asker, Timer):
    def __init__(self, count: int, pause_s: float) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._left = count + 1
        self._pause_s = pause_s
        self._expected = json.loads(engine.reply("reply"))["content"]
        self._asked_at = 0.0

    def go(self) -> None:
        self._asked_at = time.perf_counter()
        self.ask("reply")

    def hear(self, event: dict[str, Any], now: float) -> None:
        if event["type"] == "delta":
            if event["text"] != self._expected:
                raise RuntimeError(f"Not what the engine says: {event}")
            self.seconds.append(now - self._asked_at)
        elif event["type"] == "done":
            self._left -= 1
            if self._left:
                self._loop.call_later(self._pause_s, self.go)
            else:
                self.finish()


class _Paced(_V1Asker, Timer):
    def __init__(self, count: int, size: int, every_ms: int) -> None:
        super().__init__()
        self._size = engine.content_size(size)
        self._script = f"paced {count} {size} {every_ms}"
        self._count = count

    def go(self) -> None:
        self.ask(self._script)

    def hear(self, event: dict[str, Any], now: float) -> None:
        if event["type"] == "delta":
            text = event["text"]
            for start in range(0, len(text), self._size):  # more than one where frames were joined
                piece = text[start : start + self._size]
                self.seconds.append(engine.seconds_since(piece, len(self.seconds)))
        elif event["type"] == "done":
            if len(self.seconds) != self._count:
                raise RuntimeError(f"{len(self.seconds)} of {self._count} frames came")
            self.finish()


class _Counter(_V1Asker, Counter):
    def __init__(self, frames: int, size: int) -> None:
        super().__init__()
        self._script = f"burst {frames} {size}"
        self._expected = text_of_burst(frames, size)
        self._is_asked = False
        self._heard = 0

    @property
    def heard(self) -> int:
        """Characters of the answer so far."""
        return self._heard

    def open_the_way(self) -> None:
        self.ask("reply")

    def go(self) -> None:
        self._is_asked = True
        self.begin_anew()
        self.ask(self._script)

    def hear(self, event: dict[str, Any], now: float) -> None:
        if not self._is_asked:
            if event["type"] == "done":
                self.finish()
        elif event["type"] == "delta":
            text = event["text"]
            if text != self._expected[self._heard : self._heard + len(text)]:
                raise RuntimeError(f"Not what the engine says behind {self._heard} characters: {text[:200]!r}")
            self._heard += len(text)
        elif event["type"] == "done":
            if event["text"] != self._expected:
                raise RuntimeError(f"The whole answer is another one: {event['text'][:200]!r}")
            self.ended_at = now
            self.finish()


async def _ping_pong(url: str, count: int, pause_s: float) -> Latencies:
    return await latencies(url, _PingPong(count, pause_s), PATIENCE_S + count * (pause_s + 0.1), SUBPROTOCOL)


async def _frame_delays(url: str, count: int, size: int, every_ms: int) -> Latencies:
    return await latencies(url, _Paced(count, size, every_ms), PATIENCE_S + count * every_ms / 100, SUBPROTOCOL)


async def _burst(
    url: str, sockets: int, frames: int, size: int, ready: Callable[[], None], ended: Callable[[], None]
) -> Burst:
    counters = [_Counter(frames, size) for _ in range(sockets)]
    wall_s = await burst_over(url, counters, ready, ended, SUBPROTOCOL)
    seen = sum(counter.heard for counter in counters) // engine.content_size(size)
    return Burst(sockets * frames, seen, sockets * frames - seen, 0, wall_s)
