"""What idle sockets cost: thousands that are open and ask nothing."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import picows
import uvloop

from benchmarks import relays
from benchmarks.bare import bare
from benchmarks.bench import Bench
from benchmarks.clients import CONTROL, on_core
from benchmarks.figures import Figure, Goal, number
from benchmarks.processes import Pinned, memory_of
from benchmarks.v1_load import SUBPROTOCOL

AT_ONCE = 50
"""Sockets that are being opened at any moment."""
SETTLE_S = 3.0
WATCHED_S = 5.0
PATIENCE_S = 60.0
SPARE_FILES = 500


def idle_memory(bench: Bench) -> list[Figure]:
    """Bytes per open socket that has asked nothing: what the server's processes grew by, shared out."""
    count = 1000 if bench.quick else 5000
    with _files(count + SPARE_FILES), on_core(bench.load_core):
        with relays.scripted_engine(bench) as engine_url, relays.product(bench, engine_url) as relay:
            product = uvloop.run(_growth_with_idle(relay, count))
        with bare(bench) as relay:
            baseline = uvloop.run(_growth_with_idle(relay, count))
    detail = f"{product}; a bare uvicorn {baseline.kilobytes:.1f} KB"
    what = f"memory of an idle socket before its first question, {count:,} open"
    return [Figure(what, product.kilobytes, "KB", Goal(35, 25), detail)]


def idle_v1_memory(bench: Bench) -> list[Figure]:
    """The same of miva.v1 sockets, each of which was greeted."""
    count = 1000 if bench.quick else 10_000
    with (
        _files(count + SPARE_FILES),
        on_core(bench.load_core),
        relays.scripted_engine(bench) as engine_url,
        relays.product(bench, engine_url) as relay,
    ):
        grown = uvloop.run(_growth_with_idle(relay, count, SUBPROTOCOL))
    what = f"memory of an idle miva.v1 socket after hello, {count:,} open on one process"
    return [Figure(what, grown.kilobytes, "KB", Goal(30), str(grown))]


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes of a server: all of its processes, and the one that serves."""

    tree: int
    server: int


@dataclass(frozen=True, slots=True)
class _Growth:
    """What so many idle sockets cost a server."""

    sockets: int
    tree: int
    server: int
    share: float
    """Of the core, while nothing happened."""

    @property
    def kilobytes(self) -> float:
        """Of each socket, in all processes."""
        return self.tree / self.sockets / 1024

    def __str__(self) -> str:
        alone = self.server / self.sockets / 1024
        words = f"all processes {self.kilobytes:.1f} KB, the server alone {alone:.1f} KB"
        return f"{words}; together they kept the core busy for {number(100 * self.share)} % of the time"


class _Held(picows.WSListener):
    """A socket that is only held open; pings of the server are answered for it."""

    def __init__(self, *, is_greeted: bool) -> None:
        self.pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not is_greeted:
            self.greeting.set_result(None)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:  # a closing server still answers pings
            self.on_ws_disconnected(transport)
        elif frame.msg_type == picows.WSMsgType.PONG and not self.pong.done():
            self.pong.set_result(None)
        elif frame.msg_type not in CONTROL:
            said = json.loads(frame.get_payload_as_bytes())
            if said["type"] == "hello" and not self.greeting.done():
                self.greeting.set_result(None)
            else:
                self._fail(f"An idle socket was told something: {said}")

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        self._fail("The server closed an idle socket")

    def _fail(self, why: str) -> None:
        for future in (self.pong, self.greeting):
            if not future.done():
                future.set_exception(ConnectionError(why))


async def _growth_with_idle(relay: relays.Relay, count: int, subprotocol: str | None = None) -> _Growth:
    """Raises ConnectionError, or TimeoutError, where one of the sockets turns out not to be open at the end."""
    server = relay.server
    assert server is not None
    gate = asyncio.Semaphore(AT_ONCE)
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None

    async def open_one() -> tuple[picows.WSTransport, _Held]:
        async with gate, asyncio.timeout(PATIENCE_S):
            transport, held = await picows.ws_connect(
                lambda: _Held(is_greeted=subprotocol is not None),
                relay.url,
                websocket_handshake_timeout=PATIENCE_S,
                extra_headers=headers,
            )
            assert isinstance(held, _Held)
            await held.greeting
            return transport, held

    sockets = [await open_one()]  # what only the first one costs is no socket's share
    await asyncio.sleep(1)
    before = _memory(server)
    sockets += await asyncio.gather(*(open_one() for _ in range(count)))
    await asyncio.sleep(SETTLE_S)
    after, used = _memory(server), server.cpu_seconds()
    await asyncio.sleep(WATCHED_S)
    share = (server.cpu_seconds() - used) / WATCHED_S
    async with asyncio.timeout(PATIENCE_S):
        for transport, _ in sockets:
            transport.send_ping()
        await asyncio.gather(*(held.pong for _, held in sockets))
    for transport, _ in sockets:
        transport.disconnect()
    return _Growth(count, after.tree - before.tree, after.server - before.server, share)


def _memory(server: Pinned) -> _Memory:
    return _Memory(server.memory(), memory_of(server.process.pid))


@contextmanager
def _files(count: int) -> Iterator[None]:
    """Lets this process and those it starts have so many open files; raises ValueError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
