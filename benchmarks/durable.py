"""What the durable path costs: miva.v1 beside the plain dialect and the naive relay, on SQLite and on PostgreSQL.

On it every event is committed before it is shown. The plain dialect is measured on the same servers in the same rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from benchmarks import load, relays, v1_load
from benchmarks.bench import Bench
from benchmarks.clients import Latencies
from benchmarks.databases import POSTGRES, SQLITE, postgres
from benchmarks.figures import Figure, Goal, number
from benchmarks.processor_cost import SATURATED, Cost, cheapest, cost_of, microseconds
from benchmarks.relays import Relay
from benchmarks.rounds import rounds, running

SIZE = 80
"""Characters of an engine's frame, as in `relaying`."""
MANY = 20
SAMPLE, ANSWER = 100_000, 300
EVERY_MS = 5
PAUSE_S = 0.005
GOALS_MS = {SQLITE: 3.0, POSTGRES: 5.0}
"""What the durable path may add at rest."""


def added_latency(bench: Bench) -> list[Figure]:
    """How much later than on the plain path an answer begins, and each frame of it comes, at rest.

    All is on one core, for the reason that `relaying` gives.
    """
    count = 200 if bench.quick else 500
    on_one_core = replace(bench, one_core=True)
    waits: dict[str, dict[str, list[Latencies]]] = defaultdict(lambda: defaultdict(list))
    with _servers(on_one_core) as servers:
        for turn, server in rounds(bench, servers):
            for path, client in _PATHS.items():
                answer = client.ping_pong(server.url, on_one_core.load_core, count, pause_s=PAUSE_S)
                frame = client.frame_delays(server.url, on_one_core.load_core, count, size=SIZE, every_ms=EVERY_MS)
                waits[f"{server.name}: answer"][path].append(answer)
                waits[f"{server.name}: frame"][path].append(frame)
                words = ", ".join(
                    f"{what} p50 {_ms(seen.p50)}" for what, seen in (("answer", answer), ("frame", frame))
                )
                bench.say(f"  round {turn}: {server.name}, {path}: {words}")
    figures = []
    for database, goal in GOALS_MS.items():
        for kind, what in _KINDS.items():
            seen = waits[f"{database}: {kind}"]
            p50 = {path: min(taken.p50 for taken in all_taken) for path, all_taken in seen.items()}
            p95 = {path: min(taken.p95 for taken in all_taken) for path, all_taken in seen.items()}
            detail = f"p50 {_listed(p50, _ms)}; p95 {_listed(p95, _ms)}"
            added = (p50["miva.v1"] - p50["plain"]) * 1000
            figures.append(Figure(f"miva.v1 on {database}: {what}", added, "ms", Goal(goal), detail))
    return figures


def cpu_per_frame(bench: Bench) -> list[Figure]:
    """Processor time of the server's process tree per frame of the engine on miva.v1, as fast as it takes them.

    What is durable waits for commits: it need not fill its core, as the naive relay must. The share is said.
    """
    frames: dict[str, list[Cost]] = defaultdict(list)
    answers: dict[str, list[Cost]] = defaultdict(list)
    with _servers(bench, with_naive=True) as servers:
        for turn, server in rounds(bench, servers):
            burst = load.burst if server.name == "naive" else v1_load.burst
            sample = partial(cost_of, bench, server, sockets=MANY, size=SIZE, burst=burst)
            cost, of_answer = sample(frames=SAMPLE // MANY), sample(frames=ANSWER)
            frames[server.name].append(cost)
            answers[server.name].append(of_answer)
            bench.say(f"  round {turn}: {server.name}: {cost}; answers of {ANSWER} frames: {of_answer}")
    best = {name: cheapest(name, costs, SATURATED if name == "naive" else 0) for name, costs in frames.items()}
    usual = {name: min(cost.total for cost in costs) * ANSWER / 1000 for name, costs in answers.items()}
    figures = []
    for database in (SQLITE, POSTGRES):
        detail = _listed({"naive": best["naive"], database: best[database]}, str)
        if database == POSTGRES:
            detail += f"; PostgreSQL itself takes {microseconds(best[database].store)} more, which are not counted"
        what = f"CPU per engine frame on miva.v1, {database}, saturated, {MANY} sockets at once"
        figures.append(Figure(what, best[database].total / best["naive"].total, "× naive", Goal(1), detail))
    what = f"CPU of a whole answer of {ANSWER} frames on miva.v1, {MANY} at once"
    shown = _listed(usual, lambda value: f"{number(value)} ms")
    return [*figures, Figure(what, usual[SQLITE] / usual["naive"], "× naive", None, shown)]


@dataclass(frozen=True, slots=True)
class _Client:
    """The load client of one dialect."""

    ping_pong: Callable[..., Latencies]
    frame_delays: Callable[..., Latencies]


_PATHS = {
    "plain": _Client(load.ping_pong, load.frame_delays),
    "miva.v1": _Client(v1_load.ping_pong, v1_load.frame_delays),
}
_KINDS = {
    "answer": "added p50 at rest, question to the first frame of its answer",
    "frame": "added p50 at rest of each frame, engine to client",
}


@contextmanager
def _servers(bench: Bench, *, with_naive: bool = False) -> Iterator[list[Relay]]:
    """The product on each database, and perhaps the naive relay, in front of one engine."""
    with postgres(bench) as store:
        address = store.new_database()
        starters: dict[str, relays.Starter] = {
            SQLITE: partial(relays.product, name=SQLITE),
            POSTGRES: partial(relays.product, settings={"DATABASE_URL": address}, name=POSTGRES, store=store),
        }
        if with_naive:
            starters["naive"] = relays.naive
        with running(bench, starters) as started:
            yield started


def _listed(values: Mapping[str, object], show: Callable[..., str]) -> str:
    return ", ".join(f"{name} {show(value)}" for name, value in values.items())


def _ms(seconds: float) -> str:
    return f"{number(seconds * 1000)} ms"
