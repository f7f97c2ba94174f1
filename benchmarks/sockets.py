"""What sockets cost whose clients do not read: in memory, and to another client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks import engine, relays
from benchmarks.bench import Bench
from benchmarks.clients import Latencies
from benchmarks.figures import Figure, Goal, number
from benchmarks.load import ping_pong
from benchmarks.processes import peak_since_reset, reset_peak, resident
from benchmarks.wire import Wire, port_of

OFFERED = 100_000_000
"""Characters that the engine has for clients that do not read."""
SMALL_BUFFER = 4096
"""Bytes that the kernel is asked to hold for a client that does not read (it takes a little more; socket(7))."""
ROUND_TRIPS = 300
PAUSE_S = 0.01
LONGER = 2
"""While others do not read, so many times the round trips: their answers are put away after three seconds of quiet."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How `OFFERED` is shared out: among so many clients, in frames of so many characters."""

    clients: int
    size: int

    @property
    def frames(self) -> int:
        """Frames of one client."""
        return OFFERED // self.clients // self.size

    def __str__(self) -> str:
        return f"{self.clients} × {number(self.frames)} frames of {number(self.size / 1000)} KB"


SHAPES = (Shape(10, 1_000), Shape(10, 100_000), Shape(100, 1_000))


def slow_readers(bench: Bench) -> list[Figure]:
    """Growth of the server's processes (the sum of their peaks) and another client's p95 while nobody reads 100 MB.

    Every shape has a server of its own. Afterwards the clients read everything, and each frame is compared.
    """
    figures = []
    for shape in SHAPES[:1] if bench.quick else SHAPES:
        bench.say(f"  clients that do not read: {shape}")
        with relays.scripted_engine(bench) as engine_url, relays.product(bench, engine_url) as relay:
            figures += _unread(bench, relay, engine_url, shape)
    return figures


def _unread(bench: Bench, relay: relays.Relay, engine_url: str, shape: Shape) -> list[Figure]:
    assert relay.server is not None
    before: list[Latencies] = []
    during: list[Latencies] = []
    grown: list[int] = []
    held = ""
    ping_pong(relay.url, bench.load_core, 50)
    for _ in range(1 if bench.quick else 5):
        before.append(ping_pong(relay.url, bench.load_core, ROUND_TRIPS, pause_s=PAUSE_S))
        resident_before = {pid: resident(pid) for pid in relay.server.pids}
        for pid in resident_before:
            reset_peak(pid)
        clients = [Wire(port_of(relay.url), receive_buffer=SMALL_BUFFER) for _ in range(shape.clients)]
        for client in clients:
            question = {"message": f"burst {shape.frames} {shape.size}", "type": "chat", "unique_id": str(uuid4())}
            client.send_text(json.dumps(question))
        during.append(ping_pong(relay.url, bench.load_core, LONGER * ROUND_TRIPS, pause_s=PAUSE_S))
        grown.append(sum(peak_since_reset(pid) - resident_before.get(pid, 0) for pid in relay.server.pids))
        held = where_it_stands(port_of(relay.url), port_of(engine_url))
        for client in clients:
            _read_all(client, shape)
            client.close()
    first, then = min(sample.p95 for sample in before), min(sample.p95 for sample in during)
    longest = max(sample.seconds[-1] for sample in during)
    rounds = ", ".join(f"{growth / 1e6:.1f}" for growth in grown)
    return [
        Figure(
            f"memory growth with 100 MB unread, {shape}",
            max(grown) / 1e6,
            "MB",
            Goal(20),
            f"the peaks of {len(grown)} rounds: {rounds} MB; {held}; then all of it was read, and nothing missing",
        ),
        Figure(
            f"another client's p95 meanwhile, {shape}",
            then / first,
            "× before",
            Goal(2),
            f"minimum of {len(grown)} rounds: {then * 1000:.2f} ms, before {first * 1000:.2f} ms; "
            f"the longest of all {longest * 1000:.0f} ms",
        ),
    ]


def where_it_stands(server_port: int, engine_port: int) -> str:
    """Which of the kernel's queues hold what is not read, from /proc/net/tcp (local, remote, …, tx:rx in hex)."""
    queued = {server_port: 0, engine_port: 0}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = {int(end.rpartition(":")[2], 16) for end in fields[1:3]}
        for port in ports & queued.keys():
            queued[port] += sum(int(size, 16) for size in fields[4].split(":"))
    to_clients, to_server = queued[server_port] / 1e6, queued[engine_port] / 1e6
    return f"in the kernel's queues {to_clients:.0f} MB to the clients, {to_server:.0f} MB from engine to server"


def _read_all(client: Wire, shape: Shape) -> None:
    """Raises ConnectionError where a frame is missing, or not the one that comes next."""
    for expected in range(shape.frames):
        payload = client.next_text()
        if payload != engine.frame(expected, shape.size):
            raise ConnectionError(f"Frame {expected} was expected, not {payload[:80]!r}")
