"""Which relays take part in a run, how they are kept running together, and in which order they have their turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import relays
from benchmarks.bench import Bench
from benchmarks.relays import Relay, Starter


def rivals(bench: Bench) -> dict[str, Starter]:
    """The relays of this run, by name; says so where one is missing."""
    chosen = {name: start for name, start in relays.RIVALS.items() if not bench.rivals or name in bench.rivals}
    if "nginx" in chosen and relays.nginx_program() is None:
        bench.say("  nginx is not installed: its figures are left out")
        del chosen["nginx"]
    return chosen


@contextmanager
def running(bench: Bench, starters: dict[str, Starter]) -> Iterator[list[Relay]]:
    """All of these relays in front of one engine until the end of the block; an error tells what they last said."""
    with relays.scripted_engine(bench) as engine_url, ExitStack() as stack:
        started = [stack.enter_context(start(bench, engine_url)) for start in starters.values()]
        try:
            yield started
        except Exception as why:
            for relay in started:
                if relay.server is not None and (said := relay.server.log.read_text(errors="replace")[-2000:]):
                    why.add_note(f"{relay.name} said at last:\n{said}")
            raise


def rounds(bench: Bench, started: list[Relay], times: int = 1) -> Iterator[tuple[int, Relay]]:
    """Each relay once a round (with the round's number), each round beginning with another one; so many `times` the
    usual number of rounds."""
    for turn in range(times * (3 if bench.quick else 5)):
        first = turn % len(started)
        for relay in started[first:] + started[:first]:
            yield turn + 1, relay
