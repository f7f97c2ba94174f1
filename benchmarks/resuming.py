"""How soon a client that was away for a day has all that it missed: `resume` with an old cursor in a full database."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from itertools import islice

from benchmarks import databases, relays
from benchmarks.bench import Bench
from benchmarks.clients import Latencies, on_core
from benchmarks.databases import POSTGRES, SQLITE
from benchmarks.figures import Figure, Goal, number
from benchmarks.filling import EVENTS, PIECE, TURNS
from benchmarks.relays import PYTHON, folder_of
from benchmarks.v1_load import SUBPROTOCOL
from benchmarks.wire import Wire, port_of

MISSED = (TURNS - 1) * EVENTS
"""Events behind the cursor, which is that of the first turn's end, a day ago."""
KEPT_HOURS = "48"
"""Longer than a day, so that no event is thrown away in the middle of measuring."""


def old_cursor(bench: Bench) -> list[Figure]:
    """Time from `resume` to the last event that was missed, each time in another conversation."""
    conversations = 200 if bench.quick else 500
    figures = []
    for database in (SQLITE, POSTGRES):
        seen = _resumed(bench, database, conversations)
        bench.say(f"  {database}: p50 {_ms(seen.p50)}, p95 {_ms(seen.p95)}, the longest {_ms(seen.seconds[-1])}")
        rows = conversations * TURNS * EVENTS
        figures.append(
            Figure(
                f"a 24-hour-old cursor resumed on {database}, {MISSED} events missed, p95",
                seen.p95 * 1000,
                "ms",
                Goal(50),
                f"p50 {_ms(seen.p50)}, the longest of {len(seen.seconds)} {_ms(seen.seconds[-1])}; "
                f"{rows:,} events of {conversations:,} conversations in the log",
            )
        )
    return figures


def _resumed(bench: Bench, database: str, conversations: int) -> Latencies:
    with ExitStack() as stack:
        settings = {"MIVA_LOG_HOURS": KEPT_HOURS}
        name = f"a day of {database}"
        if database == POSTGRES:
            settings["DATABASE_URL"] = stack.enter_context(databases.postgres(bench)).new_database()
        environment = {"MIVA_DATA_DIR": str(folder_of(bench, name))} | settings
        relays.run([PYTHON, "manage.py", "migrate"], environment)
        labels = json.loads(relays.run([PYTHON, "-m", "benchmarks.filling", str(conversations)], environment))
        engine_url = stack.enter_context(relays.scripted_engine(bench))
        product = stack.enter_context(relays.product(bench, engine_url, settings, name=name))
        stack.enter_context(on_core(bench.load_core))
        client = Wire(port_of(product.url), subprotocol=SUBPROTOCOL)
        stack.callback(client.close)
        client.next_text()  # hello
        _resume(client, labels[0])  # what only the first one costs
        asked = islice(labels, 1, 41 if bench.quick else 101)
        return Latencies(sorted(_resume(client, label) for label in asked))


def _resume(client: Wire, label: str) -> float:
    """Seconds until the last event was here; raises ConnectionError where they are not those that were missed."""
    request = json.dumps({"type": "resume", "conversation": label, "after": EVENTS})
    began = time.perf_counter()
    client.send_text(request)
    frames = [client.next_text() for _ in range(MISSED)]
    took = time.perf_counter() - began
    events = [json.loads(frame) for frame in frames]
    if [event.get("seq") for event in events] != list(range(EVENTS + 1, EVENTS + MISSED + 1)):
        raise ConnectionError(f"Not the events behind {EVENTS}: {frames[0]!r} … {frames[-1]!r}")
    if any(event["conversation"] != label for event in events):
        raise ConnectionError("An event of another conversation came")
    if sum(event["text"] == PIECE for event in events if event["type"] == "delta") != MISSED - 3 * (TURNS - 1):
        raise ConnectionError("The pieces of the answers are not those that were stored")
    return took


def _ms(seconds: float) -> str:
    return f"{number(seconds * 1000)} ms"
