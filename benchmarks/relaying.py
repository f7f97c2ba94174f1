"""What a relayed frame costs and how late it comes: all relays in the same run, in rounds, each round in another order.

Every relay gets the same frames from the same engine, which has the other core with the client. At rest the delay is
taken with all of them on one core: only one works at a time then, and what it takes to wake a sleeping core (tens of
microseconds in a virtual machine, four times a question) is no relay's doing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.clients import Latencies
from benchmarks.figures import Figure, Goal, number
from benchmarks.processor_cost import SATURATED, Cost, cheapest, cost_of, microseconds
from benchmarks.relays import DEFAULT_LAYER, Starter, direct
from benchmarks.rounds import rivals, rounds, running

T = TypeVar("T")

SIZE = 80
"""Characters of a frame: a word or two in an engine's typed frame."""
MANY = 20
"""Sockets that are answered at once."""
SAMPLE = 100_000
ANSWER = 300
"""Frames of an answer of the usual length."""
BURST = 20_000
NEVER_SATURATED = ("nginx", "layer")
"""One costs less than the load does, the other waits for Redis: how much of the core each used stands in the table."""
PAUSE_S = 0.005
"""Rest between two questions: a relay's work after one answer is mostly done when the next question comes."""


def cpu_per_frame(bench: Bench) -> list[Figure]:
    """Processor time of the server's process tree per frame, while it relays as fast as it can."""
    many: dict[str, list[Cost]] = defaultdict(list)
    one: dict[str, list[Cost]] = defaultdict(list)
    with running(bench, _servers(bench)) as started:
        for turn, relay in rounds(bench, started):
            for sockets, costs in ((MANY, many), (1, one)):
                if sockets == 1 and relay.name == "layer":
                    continue  # minutes, for what costs the same
                cost = cost_of(bench, relay, sockets=sockets, frames=_frames(bench, relay.name) // sockets, size=SIZE)
                costs[relay.name].append(cost)
                bench.say(f"  round {turn}: {relay.name}, {_sockets(sockets)}: {cost}")
    costs_of_many, costs_of_one = _cheapest(many), _cheapest(one)
    detail = _listed(costs_of_many, str)
    if {"product", "naive"} <= costs_of_one.keys():
        ratio = costs_of_one["product"].total / costs_of_one["naive"].total
        detail += f"; with 1 socket {number(ratio)} × ({_listed(costs_of_one, str)})"
    beside = f"the same run, {_frames(bench, 'layer'):,} frames a sample for layer and {SAMPLE:,} for the others"
    if "layer" in costs_of_many:
        beside += f"; its Redis takes {microseconds(costs_of_many['layer'].store)} more, which are not counted"
    what = f"CPU per relayed frame, saturated, {MANY} sockets at once"
    totals = {name: cost.total for name, cost in costs_of_many.items()}
    return [
        *_ratio(what, totals, "naive", Goal(0.55, 0.4), detail),
        *_ratio(what, totals, "layer", Goal(0.2, 0.1), beside),
    ]


def cpu_per_answer(bench: Bench) -> list[Figure]:
    """Processor time of one answer of the usual length with all that belongs to it: question, storing, the end."""
    seen: dict[str, list[float]] = defaultdict(list)
    starters = {name: start for name, start in _servers(bench).items() if name != "layer"}
    with running(bench, starters) as started:
        for turn, relay in rounds(bench, started):
            cost = cost_of(bench, relay, sockets=MANY, frames=ANSWER, size=SIZE)
            seen[relay.name].append(cost.total * ANSWER / 1000)
            bench.say(f"  round {turn}: {relay.name}: {seen[relay.name][-1]:.2f} ms an answer")
    best = {name: min(milliseconds) for name, milliseconds in seen.items()}
    what = f"CPU of a whole answer of {ANSWER} frames, from the question to the closed socket"
    stored = f"{_listed(best, lambda value: f'{number(value)} ms')}; the product stores it, the others do not"
    return _ratio(what, best, "naive", None, stored)


def added_latency(bench: Bench) -> list[Figure]:
    """Time from a question to its first frame at rest, beyond that of a direct connection."""
    seen = _latencies(replace(bench, one_core=True))
    p50, added = _added(seen)
    p95 = {name: min(latencies.p95 for latencies in taken) * 1e6 for name, taken in seen.items()}
    what = "Added p50 at rest, question to first frame"
    detail = f"{_listed(added, microseconds)} over direct's {microseconds(p50['direct'])}"
    if not bench.quick:
        bench.say("  again with the engine and the client on a core of their own")
        detail += f"; {_apart(*_added(_latencies(bench)))}"
    return [
        *_ratio(what, added, "naive", Goal(0.8, 0.6), detail),
        *_ratio(what, added, "nginx", Goal(None, 6), f"whole p95: {_listed(p95, microseconds)}"),
        *_ratio(what, added, "layer", Goal(0.2, 0.1), "the same run"),
    ]


def burst(bench: Bench) -> list[Figure]:
    """Frames of a burst that did not come, or not in their order; every byte is compared."""
    starters = dict(rivals(bench))
    if starters.pop("layer", None) and not bench.quick:  # it takes half a minute to be sure that nothing more comes
        starters["default layer"] = DEFAULT_LAYER
    spoiled: dict[str, int] = defaultdict(int)
    seconds: dict[str, list[str]] = defaultdict(list)
    with running(bench, starters) as started:
        for relay in started:
            for sockets in (1, MANY):
                came = load.burst(relay.url, bench.load_core, sockets=sockets, frames=BURST // sockets, size=SIZE)
                spoiled[relay.name] += came.lost + came.reordered
                seconds[relay.name].append(f"{came.wall_s:.2f}")
                words = f"{came.lost:,} lost, {came.reordered:,} reordered of {came.asked:,} in {came.wall_s:.2f} s"
                bench.say(f"  {relay.name}, {_sockets(sockets)}: {words}")
    if "product" not in spoiled:
        return []
    ours = spoiled.pop("product")
    detail = f"one over 1 socket and one over {MANY}; the others: {_listed(spoiled, lambda count: f'{count:,}')}"
    if "default layer" in spoiled:
        detail += " (the Redis layer drops what is over its capacity, 100 where nothing is set)"
    detail += f"; seconds for each: {_listed(seconds, ' and '.join)}"
    return [Figure(f"Lost or reordered frames in two bursts of {BURST:,}", ours, goal=Goal(0), detail=detail)]


def _servers(bench: Bench) -> dict[str, Starter]:
    return {name: start for name, start in rivals(bench).items() if name != "direct"}


def _frames(bench: Bench, name: str) -> int:
    """Frames of one sample; fewer where each costs a hundred times what the others' do."""
    return SAMPLE if name != "layer" else 2_000 if bench.quick else 20_000


def _cheapest(samples: Mapping[str, list[Cost]]) -> dict[str, Cost]:
    return {
        name: cheapest(name, costs, least_share=0 if name in NEVER_SATURATED else SATURATED)
        for name, costs in samples.items()
    }


def _latencies(bench: Bench) -> dict[str, list[Latencies]]:
    # Short rounds, and many: the least of each relay's is then less often of another minute of a shared machine.
    count = 70 if bench.quick else 170
    seen: dict[str, list[Latencies]] = defaultdict(list)
    starters = {"direct": direct} | rivals(bench)
    with running(bench, starters) as started:
        for turn, relay in rounds(bench, started, times=3):
            latencies = load.ping_pong(relay.url, bench.load_core, count, pause_s=PAUSE_S)
            seen[relay.name].append(latencies)
            p50, p95 = (microseconds(seconds * 1e6) for seconds in (latencies.p50, latencies.p95))
            bench.say(f"  round {turn}: {relay.name}: p50 {p50}, p95 {p95}")
    return seen


def _added(seen: Mapping[str, list[Latencies]]) -> tuple[dict[str, float], dict[str, float]]:
    """The smallest p50 of each, and how much of it is not the direct connection's (microseconds)."""
    p50 = {name: min(latencies.p50 for latencies in taken) * 1e6 for name, taken in seen.items()}
    return p50, {name: value - p50["direct"] for name, value in p50.items() if name != "direct"}


def _apart(p50: Mapping[str, float], added: Mapping[str, float]) -> str:
    """What was seen with two cores that sleep in between: no goal is judged by it, but a reader may compare."""
    ratios = [
        f"{number(added['product'] / value)} × {name}"
        for name, value in added.items()
        if name != "product" and "product" in added and value > 0
    ]
    over = f"{_listed(added, microseconds)} over direct's {microseconds(p50['direct'])}"
    return f"with the load on a core of its own: {over}" + (f" ({', '.join(ratios)})" if ratios else "")


def _ratio(what: str, values: Mapping[str, float], other: str, goal: Goal | None, detail: str) -> list[Figure]:
    """The product's value as a multiple of another relay's, where both were measured."""
    if not {"product", other} <= values.keys():
        return []
    if values[other] <= 0:  # the direct connection's best round was in a quicker minute of the machine
        return [Figure(what, math.inf, f"× {other}", goal, f"no ratio, {other} seems to add nothing; {detail}")]
    return [Figure(what, values["product"] / values[other], f"× {other}", goal, detail)]


def _listed(values: Mapping[str, T], show: Callable[[T], str]) -> str:
    return ", ".join(f"{name} {show(value)}" for name, value in values.items())


def _sockets(count: int) -> str:
    return "1 socket" if count == 1 else f"{count} sockets"
