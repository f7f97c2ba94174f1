"""What readers of miva.v1 cost that take one byte a second: in memory, and to another client.

The same large answer comes with and without them, each time on a new server, so that nothing of the answer's own cost
is put down to them.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

from benchmarks import relays, v1_load
from benchmarks.bench import Bench
from benchmarks.clients import PATIENCE_S, Latencies
from benchmarks.figures import Figure, Goal, number
from benchmarks.processes import peak_since_reset, reset_peak, resident
from benchmarks.relays import Relay
from benchmarks.sockets import SMALL_BUFFER, where_it_stands
from benchmarks.wire import Wire, port_of

READERS, BYTE_EVERY_S = 50, 1.0
SIZE, EVERY_MS = 4000, 4
"""Characters of the engine's frames, and how often one comes: a megabyte a second."""
ROUND_TRIPS, PAUSE_S = 150, 0.01
COMES, WHOLE = "while it comes", "once it is whole"
LARGE_BUFFER = 2**20
READ_TO_THE_END = 5
"""Readers that read everything afterwards, as fast as they can: nothing may be missing."""


def slow_readers(bench: Bench) -> list[Figure]:
    """Memory of each reader, and another client's p95 while the answer comes and once it is whole, with and without."""
    frames = 1000 if bench.quick else 2000
    alone: list[_Run] = []
    beside: list[_Run] = []
    for turn in range(1 if bench.quick else 3):
        for readers, runs in ((0, alone), (READERS, beside)):
            runs.append(_run(bench, readers, frames))
            bench.say(f"  round {turn + 1}, {readers} readers: {runs[-1]}")
    costs = [
        (with_them.grown - without.grown) / READERS / 1024 for with_them, without in zip(beside, alone, strict=True)
    ]
    size = f"{frames * SIZE / 1e6:.0f} MB"
    what = f"{READERS} miva.v1 readers of one byte a second, an answer of {size}"
    listed = ", ".join(number(cost) for cost in costs)
    figures = [
        Figure(
            f"{what}: memory of each",
            max(costs),
            "KB",
            Goal(1024),
            f"the peaks of {len(costs)} rounds: {listed} KB; {beside[-1].held}; {READ_TO_THE_END} of them then read "
            "all of it, and nothing was missing",
        )
    ]
    for moment in (COMES, WHOLE):
        with_them, without = (min(run.waits[moment].p95 for run in runs) * 1000 for runs in (beside, alone))
        longest = max(run.waits[moment].seconds[-1] for run in beside) * 1000
        detail = f"{number(with_them)} ms, without them {number(without)} ms; the longest of all {number(longest)} ms"
        title = f"{what}: another client's p95 {moment}"
        figures.append(Figure(title, with_them / without, "× without them", Goal(2), detail))
    return figures


@dataclass(frozen=True, slots=True)
class _Run:
    """What was seen of one server. `grown`: bytes, by the peaks of its processes."""

    grown: int
    waits: dict[str, Latencies]
    held: str

    def __str__(self) -> str:
        p95 = ", ".join(f"{moment} p95 {number(seen.p95 * 1000)} ms" for moment, seen in self.waits.items())
        return f"grown by {self.grown / 1e6:.1f} MB, {p95}"


def _run(bench: Bench, readers: int, frames: int) -> _Run:
    label = str(uuid4())
    with ExitStack() as stack:
        engine_url = stack.enter_context(relays.scripted_engine(bench))
        product = stack.enter_context(relays.product(bench, engine_url, name=f"readers {label}"))
        port = port_of(product.url)

        def others_wait() -> Latencies:
            return v1_load.ping_pong(product.url, bench.load_core, ROUND_TRIPS, pause_s=PAUSE_S)

        others_wait()  # what only the first ones cost
        grown = _growth_of(product)
        asker = stack.enter_context(closing(_Asker(port, label, f"paced {frames} {SIZE} {EVERY_MS}")))
        slow = [stack.enter_context(closing(_Reader(port, label))) for _ in range(readers)]
        with _byte_by_byte(slow):
            waits = {COMES: others_wait()}
            answer = asker.answer()
            waits[WHOLE] = others_wait()
            run = _Run(grown(), waits, where_it_stands(port, port_of(engine_url)))
        for reader in slow[:: max(1, readers // READ_TO_THE_END)]:
            reader.read_to_the_end(answer)
    return run


def _growth_of(product: Relay) -> Callable[[], int]:
    """Begins to watch a server's memory; what it returns tells by how much it grew at most since."""
    server = product.server
    assert server is not None
    before = {pid: resident(pid) for pid in server.pids}
    for pid in before:
        reset_peak(pid)
    return lambda: sum(peak_since_reset(pid) - before.get(pid, 0) for pid in server.pids)


class _Asker:
    """Asks, and reads the answer as it comes, in a thread of its own."""

    def __init__(self, port: int, label: str, script: str) -> None:
        """Returns when the question is stored."""
        self._wire = Wire(port, subprotocol=v1_load.SUBPROTOCOL)
        self._wire.send_text(v1_load.question(script, label).decode())
        self._wire.next_text()  # hello
        accepted = json.loads(self._wire.next_text())
        if accepted["type"] != "accepted":
            raise ConnectionError(f"The question was not accepted: {accepted}")
        self._answer: str | Exception = TimeoutError("The answer did not come")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def answer(self) -> str:
        """The whole answer, once it is there; raises ConnectionError or TimeoutError where it does not come."""
        self._thread.join(PATIENCE_S)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def close(self) -> None:
        self._wire.close()

    def _read(self) -> None:
        try:
            self._answer = _read_answer(self._wire, 1)
        except Exception as why:
            self._answer = why


class _Reader(Wire):
    """A second reader of the answer, from its beginning."""

    def __init__(self, port: int, label: str) -> None:
        super().__init__(port, receive_buffer=SMALL_BUFFER, subprotocol=v1_load.SUBPROTOCOL)
        self.send_text(json.dumps({"type": "resume", "conversation": label, "after": 0}))

    def read_to_the_end(self, answer: str) -> None:
        """Reads as fast as it can; raises ConnectionError where not all of it comes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE_BUFFER)
        self.next_text()  # hello
        if _read_answer(self, 0) != answer:
            raise ConnectionError("A slow reader has another answer than the one who asked")


def _read_answer(wire: Wire, after: int) -> str:
    """The text of an answer whose events come behind this number; raises ConnectionError where one is missing."""
    pieces: list[str] = []
    while True:
        event = json.loads(wire.next_text())
        after += 1
        if event.get("seq") != after:
            raise ConnectionError(f"Not event {after}: {str(event)[:300]}")
        if event["type"] == "delta":
            pieces.append(event["text"])
        elif event["type"] == "done":
            if "".join(pieces) != event["text"]:
                raise ConnectionError("The pieces are not the whole answer")
            return str(event["text"])


@contextmanager
def _byte_by_byte(readers: Sequence[Wire]) -> Iterator[None]:
    """Reads a byte a second of each in the background; raises what went wrong."""
    is_over = threading.Event()
    failed: list[Exception] = []

    def read() -> None:
        try:
            while not is_over.wait(BYTE_EVERY_S):
                for reader in readers:
                    reader.take(1)
        except Exception as why:
            failed.append(why)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if failed:
        raise failed[0]
