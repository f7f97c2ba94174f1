"""What sockets cost in memory: thousands that are idle, and some whose clients do not read."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import picows
import uvloop

from benchmarks import engine, relays
from benchmarks.bare import bare
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Goal, number
from benchmarks.load import Latencies, on_core, ping_pong
from benchmarks.processes import Pinned, memory_of, peak_since_reset, reset_peak, resident
from benchmarks.wire import Wire, port_of

AT_ONCE = 50
"""Sockets that are being opened at any moment."""
SETTLE_S = 3.0
PATIENCE_S = 60.0
SPARE_FILES = 500

OFFERED = 100_000_000
"""Characters that the engine has for clients that do not read."""
SMALL_BUFFER = 4096
"""Bytes that the kernel is asked to hold for a client that does not read (it takes a little more; socket(7))."""
ROUND_TRIPS = 300
PAUSE_S = 0.01
LONGER = 2
"""While others do not read, so many times the round trips: their answers are put away after three seconds of quiet."""


def idle_memory(bench: Bench) -> list[Figure]:
    """Bytes per open socket that has asked nothing: what the server's processes grew by, shared out."""
    count = 1000 if bench.quick else 5000
    with _files(count + SPARE_FILES), on_core(bench.load_core):
        with relays.scripted_engine(bench) as engine_url, relays.product(bench, engine_url) as relay:
            product = uvloop.run(_growth_with_idle(relay, count))
        with bare(bench) as relay:
            baseline = uvloop.run(_growth_with_idle(relay, count))
    detail = (
        f"all processes {product.tree / count / 1024:.1f} KB, the server alone {product.server / count / 1024:.1f} KB; "
        f"a bare uvicorn {baseline.tree / count / 1024:.1f} KB"
    )
    what = f"memory of an idle socket before its first question, {count:,} open"
    return [Figure(what, product.tree / count / 1024, "KB", Goal(35, 25), detail)]


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


@dataclass(frozen=True, slots=True)
class _Growth:
    """Bytes by which a server grew: all of its processes, and the one that serves."""

    tree: int
    server: int


class _Held(picows.WSListener):
    """A socket that is only held open; pings of the server are answered for it."""

    def __init__(self) -> None:
        self.pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:  # a closing server still answers pings
            self.on_ws_disconnected(transport)
        elif frame.msg_type == picows.WSMsgType.PONG and not self.pong.done():
            self.pong.set_result(None)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        if not self.pong.done():
            self.pong.set_exception(ConnectionError("The server closed an idle socket"))


async def _growth_with_idle(relay: relays.Relay, count: int) -> _Growth:
    """Raises ConnectionError, or TimeoutError, where one of the sockets turns out not to be open at the end."""
    assert relay.server is not None
    gate = asyncio.Semaphore(AT_ONCE)

    async def open_one() -> tuple[picows.WSTransport, _Held]:
        async with gate:
            transport, held = await picows.ws_connect(_Held, relay.url, websocket_handshake_timeout=PATIENCE_S)
            return transport, held  # type: ignore[return-value]

    sockets = [await open_one()]  # what only the first one costs is no socket's share
    await asyncio.sleep(1)
    before = _memory(relay.server)
    sockets += await asyncio.gather(*(open_one() for _ in range(count)))
    await asyncio.sleep(SETTLE_S)
    after = _memory(relay.server)
    async with asyncio.timeout(PATIENCE_S):
        for transport, _ in sockets:
            transport.send_ping()
        await asyncio.gather(*(held.pong for _, held in sockets))
    for transport, _ in sockets:
        transport.disconnect()
    return _Growth(after.tree - before.tree, after.server - before.server)


def _memory(server: Pinned) -> _Growth:
    return _Growth(server.memory(), memory_of(server.process.pid))


@contextmanager
def _files(count: int) -> Iterator[None]:
    """Lets this process and those it starts have so many open files; raises ValueError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _unread(bench: Bench, relay: relays.Relay, engine_url: str, shape: Shape) -> list[Figure]:
    assert relay.server is not None
    before: list[Latencies] = []
    during: list[Latencies] = []
    grown: list[int] = []
    held = ""
    ping_pong(relay.url, bench.load_core, 50)
    for _ in range(1 if bench.quick else 3):
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
        held = _where_it_stands(port_of(relay.url), port_of(engine_url))
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


def _where_it_stands(server_port: int, engine_port: int) -> str:
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
