"""All processes of one run: two workers of the product, a Redis, a database, the engine, and proxies between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path

from tests.faults.proxy import Proxy
from tests.postgres_server import PostgresServer
from tests.product import PATIENCE_S, ROOT, Product
from tests.redis_server import RedisServer

LEASE_S = 2.0
ENGINE_TIMEOUT_S = 4.0
ENGINE_CONNECT_S = 5.0 * PATIENCE_S / 30.0
"""How long the engine may be silent, and may take to greet, as the workers are told."""
END_S = 10.0 * PATIENCE_S / 30.0
"""How long a worker may take to end when it is told to."""


class Worker:
    """One server process, with proxies on all its sides: browsers come in by the door, and what it uses is behind."""

    def __init__(self, name: str, product: Product, door: Proxy, to_redis: Proxy, to_engine: Proxy) -> None:
        self.name = name
        self.product = product
        self.door = door
        self.to_redis = to_redis
        self.to_engine = to_engine

    @property
    def path(self) -> str:
        """Where it asks the engine, by which that knows it."""
        return f"/{self.name}"

    async def start(self) -> None:
        await asyncio.to_thread(self.product.start)

    async def stop(self) -> bool:
        """SIGTERM; whether it ended as soon as it has to."""
        begun = time.monotonic()
        return await asyncio.to_thread(self.product.stop) is not None and time.monotonic() - begun < END_S

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.product.kill)

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.product.process is not None:
            os.kill(self.product.process.pid, number)


class EngineProcess:
    """The scripted engine; `asked` says for each question which workers asked it, in their order."""

    def __init__(self) -> None:
        self.port = lasting_port()
        self.asked: dict[str, list[str]] = {}
        self._process: Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it may be asked."""
        command = [sys.executable, "-m", "tests.faults.engine", str(self.port)]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert await self._process.stdout.readline(), "the engine did not start"
        self._listening = asyncio.create_task(self._listen(self._process.stdout))

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None
        if self._listening is not None:
            await self._listening

    async def spoil(self, kind: str) -> None:
        """Makes each answer that is being said go wrong once, with a kind of garbage of `engine.GARBAGE`."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{kind}\n".encode())
            await self._process.stdin.drain()

    async def _listen(self, output: asyncio.StreamReader) -> None:
        while (line := await output.readline()).endswith(b"\n"):  # its last may be half a line
            told = json.loads(line)
            self.asked.setdefault(told["asked"], []).append(told["where"])


class Stage:
    """What a run has to work with."""

    def __init__(self, workers: tuple[Worker, Worker], redis: RedisServer, engine: EngineProcess) -> None:
        self.workers = workers
        self.redis = redis
        self.engine = engine
        self.engine_trouble: list[list[float]] = []
        """When an answer could fail for the engine's sake: from, until, by the loop's clock."""

    def owner_of(self, question: str) -> Worker:
        """The worker that asked the engine this question last; the first where none has."""
        where = self.engine.asked.get(question, [self.workers[0].path])[-1]
        return next(worker for worker in self.workers if worker.path == where)

    def other_than(self, worker: Worker) -> Worker:
        return self.workers[1] if worker is self.workers[0] else self.workers[0]

    def log(self) -> str:
        """What both workers have written."""
        return self.workers[0].product.log()

    async def guests(self, count: int) -> list[str]:
        """Has so many people open the page; the session cookies of their browsers."""
        return [await asyncio.to_thread(_cookie, self.workers[0].product.url) for _ in range(count)]


@asynccontextmanager
async def stage(
    folder: Path, postgres: PostgresServer | None = None, *, spoiled: str = "", lease_s: float = LEASE_S
) -> AsyncIterator[Stage]:
    """Starts everything, on SQLite unless a PostgreSQL server is given, and ends everything.

    `spoiled` names a switch of `tests.faults.spoiled` that takes a protection away from both workers.
    """
    async with AsyncExitStack() as undo:
        redis = RedisServer(port=lasting_port())
        undo.callback(redis.kill)
        await asyncio.to_thread(redis.start)
        engine = EngineProcess()
        undo.push_async_callback(engine.kill)
        await engine.start()
        settings = {
            "SECRET_KEY": "k" * 50,
            "ALLOWED_HOSTS": "127.0.0.1",
            "MIVA_RATE": "1000000/min",
            "MIVA_SOCKETS": "100000",
            "MIVA_LEASE_S": str(lease_s),
            "MIVA_ENGINE_CONNECT_S": str(ENGINE_CONNECT_S),
            "MIVA_ENGINE_TIMEOUT_S": str(ENGINE_TIMEOUT_S),
            "MIVA_ENGINE_TOTAL_S": "120",
        }
        if postgres is not None:
            settings["DATABASE_URL"] = postgres.new_database()
        if spoiled:
            settings["FAULTS_SPOILED"] = spoiled
        workers = []
        for name in "ab":
            to_redis, to_engine = await Proxy(redis.port).start(), await Proxy(engine.port).start()
            own = {
                "REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
                "MIVA_ENGINE_URL": f"ws://127.0.0.1:{to_engine.port}/{name}",
            }
            product = Product(folder, **settings, **own).listen_at(lasting_port())
            if spoiled:
                product.application = "tests.faults.spoiled:application"
            door = await Proxy(product.port).start()
            for proxy in (to_redis, to_engine, door):
                undo.push_async_callback(proxy.close)
            undo.callback(product.kill)
            workers.append(Worker(name, product, door, to_redis, to_engine))
        if postgres is not None:
            migrated = await asyncio.to_thread(workers[0].product.run, "migrate")
            if migrated.returncode:
                raise RuntimeError(migrated.stderr[-2000:])
        # One after the other: the first brings SQLite to the newest migration.
        for worker in workers:
            await worker.start()
        yield Stage((workers[0], workers[1]), redis, engine)


def _cookie(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        cookies = SimpleCookie("; ".join(answer.headers.get_all("Set-Cookie")))
        return f"sessionid={cookies['sessionid'].value}"


def lasting_port() -> int:
    """A free port that stays so while its server is down: none of those that the system gives to connections.

    (A proxy that tries to reach a server that is down may even get that port itself, and then talks to itself.)
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
