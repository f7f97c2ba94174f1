"""The processor time that a relay's process tree takes for frames: one sample, and the best of several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.clients import Burst
from benchmarks.figures import number
from benchmarks.relays import Relay

SATURATED = 0.9
"""The least share of its core that a relay must have used for a sample to count as saturated."""
STILL_S, STILL_CPU_S, SETTLE_S = 0.5, 0.002, 60.0
"""A server is still when it used less than so much processor time in so long, beyond twice what it used before it had
anything to do (where the host is busy, every tick of a timer is charged with milliseconds); the longest wait for that.
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time per frame."""

    total: float
    relaying: float
    """Of it, until the last frame came; the rest is what the relay does with an answer afterwards."""
    store: float
    """On top, in the Redis or PostgreSQL server."""
    share: float
    """Of the core, while frames came."""

    def __str__(self) -> str:
        idle = "" if self.share >= SATURATED else f", {self.share:.0%} of the core"
        return f"{microseconds(self.total)} ({microseconds(self.relaying)} until the last frame{idle})"


def microseconds(value: float) -> str:
    return f"{number(value)} µs"


def cost_of(
    bench: Bench, relay: Relay, *, sockets: int, frames: int, size: int, burst: Callable[..., Burst] = load.burst
) -> Cost:
    """One sample: `frames` frames over each of the sockets at once, and all that the relay does because of them.

    `burst` is the load client of a dialect. Raises RuntimeError where a frame did not come or not in its order, or
    where the relay does not come to rest.
    """
    server = relay.server
    assert server is not None
    marks: list[float] = []
    store_marks: list[float] = []

    def mark() -> None:
        marks.append(server.cpu_seconds())
        store_marks.append(relay.store.cpu_seconds() if relay.store else 0.0)

    idle = _used_in(relay, STILL_S)
    came = burst(relay.url, bench.load_core, sockets=sockets, frames=frames, size=size, ready=mark, ended=mark)
    if came.lost or came.reordered:
        raise RuntimeError(f"{relay.name} lost {came.lost} and reordered {came.reordered} of {came.asked} frames")
    before, last = marks
    total = _when_still(relay, idle) - before
    store = relay.store.cpu_seconds() - store_marks[0] if relay.store else 0.0
    each = 1e6 / came.asked
    return Cost(total * each, (last - before) * each, store * each, (last - before) / came.wall_s)


def cheapest(name: str, samples: Sequence[Cost], least_share: float = SATURATED) -> Cost:
    """The cheapest sample that used so much of its core; RuntimeError where there is none."""
    saturated = [cost for cost in samples if cost.share >= least_share]
    if not saturated:
        shares = ", ".join(f"{cost.share:.0%}" for cost in samples)
        raise RuntimeError(f"{name} was never saturated ({shares} of its core): does this machine do something else?")
    return min(saturated, key=lambda cost: cost.total)


def _used_in(relay: Relay, seconds: float) -> float:
    """Processor seconds that the server uses in so long."""
    assert relay.server is not None
    before = relay.server.cpu_seconds()
    time.sleep(seconds)
    return relay.server.cpu_seconds() - before


def _when_still(relay: Relay, idle: float) -> float:
    """Processor time so far, once the server has done all that follows from the closed sockets.

    `idle` is what it used in STILL_S before.
    """
    assert relay.server is not None
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        if _used_in(relay, STILL_S) < 2 * idle + STILL_CPU_S:
            return relay.server.cpu_seconds()
    raise RuntimeError(f"{relay.name} does not come to rest")
