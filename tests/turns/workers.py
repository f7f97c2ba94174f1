"""Server processes that work on one database, as the workers of one machine do, and the log that they leave."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.engines import scripted_engine
from tests.operations import talk
from tests.processes import free_port
from tests.product import PATIENCE_S, Product
from tests.redis_server import RedisServer

_tables: bytes = b""
"""A SQLite database with nothing but its tables: making them takes a server longer than all else at its start."""
ENDS = {"done", "cancelled", "failed"}
STOP_S = 10.0
"""How long a server may take to end when it is told to (issue 4)."""


@dataclass(frozen=True)
class Logged:
    """One event as it is stored."""

    seq: int
    turn: str
    attempt: int
    kind: str
    body: dict[str, Any]


@contextmanager
def workers(
    folder: Path,
    count: int,
    engine: str,
    redis_server: RedisServer | None = None,
    *,
    server: str = "uvicorn",
    lease_s: float = 2,
    database: str = "",
) -> Iterator[list[Product]]:
    """So many servers on one data folder; they are killed at the end, and must not have logged a traceback.

    `database` is an address as DATABASE_URL takes it; without one they use SQLite.
    """
    global _tables
    settings = {"MIVA_ENGINE_URL": engine, "MIVA_LEASE_S": str(lease_s)}
    if redis_server is not None:
        settings |= {"REDIS_URL": redis_server.url, "SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "127.0.0.1"}
    if database:
        settings["DATABASE_URL"] = database
    products = [Product(folder, server, **settings) for _ in range(count)]
    try:
        if database:
            assert products[0].run("migrate").returncode == 0
        elif _tables:
            products[0].data.mkdir(mode=0o700)
            _file(products[0]).write_bytes(_tables)
        for product in products:
            product.start()
        if not (database or _tables):
            with closing(sqlite3.connect(_file(products[0]))) as sqlite:
                _tables = sqlite.serialize()
        yield products
        log = products[0].log()
        assert "Traceback" not in log, log[log.find("Traceback") - 500 :][:4000]
    finally:
        for product in products:
            product.kill()


@contextmanager
def beside(product: Product, server: str) -> Iterator[Product]:
    """Another server on the same data, with the same settings."""
    other = Product(product.folder, server, **product.settings)
    try:
        yield other.start()
    finally:
        other.kill()


def _file(product: Product) -> Path:
    return product.data / "miva.sqlite3"


@dataclass(frozen=True)
class Pair:
    """Two workers, and the port at which a test runs the engine it needs."""

    here: Product
    there: Product
    port: int

    @asynccontextmanager
    async def sockets(self, script: Any) -> AsyncIterator[tuple[ClientConnection, ClientConnection]]:
        """A miva.v1 socket at each worker, with the engine running."""
        async with (
            scripted_engine(script, port=self.port),
            open_socket(self.here.socket_url, "miva.v1") as one,
            open_socket(self.there.socket_url, "miva.v1") as two,
        ):
            await until(one, "hello")
            await until(two, "hello")
            yield one, two

    def start(self) -> None:
        """Starts what a test has killed."""
        for product in (self.here, self.there):
            if product.process is None:
                product.start()


@contextmanager
def two_workers(folder: Path, redis_server: RedisServer, *, lease_s: float = 2, database: str = "") -> Iterator[Pair]:
    """A pair that several tests share."""
    port = free_port()
    engine = f"ws://127.0.0.1:{port}/ws/chat"
    with workers(folder, 2, engine, redis_server, lease_s=lease_s, database=database) as (here, there):
        yield Pair(here, there, port)


def rows(product: Product, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a question to the product's database brings; `%s` stands for a value."""
    address = product.environment().get("DATABASE_URL")
    if address:
        with psycopg.connect(address) as postgres:
            return postgres.execute(query.encode(), values).fetchall()
    with closing(sqlite3.connect(f"file:{_file(product)}?mode=ro", uri=True)) as sqlite:
        return sqlite.execute(query.replace("%s", "?"), values).fetchall()


def change(product: Product, query: str) -> None:
    """Changes the product's database behind its back."""
    address = product.environment().get("DATABASE_URL")
    if address:
        with psycopg.connect(address) as postgres:
            postgres.execute(query.encode())
            return
    with closing(sqlite3.connect(_file(product), timeout=PATIENCE_S)) as sqlite, sqlite:
        sqlite.execute(query)


def put_to_sleep(product: Product) -> None:
    """SIGSTOP, at a moment at which the process does not hold SQLite's only lock: nobody could write until it wakes."""
    assert product.process is not None
    product.process.send_signal(signal.SIGSTOP)
    while _is_locked(product):
        product.process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
        product.process.send_signal(signal.SIGSTOP)


def _is_locked(product: Product) -> bool:
    if product.environment().get("DATABASE_URL"):
        return False
    with closing(sqlite3.connect(_file(product), timeout=1.0, isolation_level=None)) as sqlite:
        try:
            sqlite.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        sqlite.execute("ROLLBACK")
        return False


def log_of(product: Product, label: str) -> list[Logged]:
    """A conversation's whole log."""
    found = rows(
        product,
        "SELECT seq, turn_id, attempt, body FROM miva_logevent"
        " JOIN miva_conversation AS c ON c.id = conversation_id WHERE label = %s ORDER BY seq",
        label,
    )
    bodies = [(seq, str(turn), attempt, json.loads(body)) for seq, turn, attempt, body in found]
    return [Logged(seq, turn, attempt, body["type"], body) for seq, turn, attempt, body in bodies]


def messages(product: Product, label: str) -> list[tuple[str, str]]:
    """(role, content) of what the history shows of a conversation."""
    query = "SELECT role, content FROM miva_message JOIN miva_conversation AS c ON c.id = conversation_id"
    return [(role, text) for role, text in rows(product, f"{query} WHERE label = %s ORDER BY miva_message.id", label)]


def kinds(log: Sequence[Logged]) -> list[str]:
    """The types of events, neighbouring deltas as one."""
    return [event.kind for at, event in enumerate(log) if not (at and event.kind == log[at - 1].kind == "delta")]


async def ended(product: Product, label: str, turns: int = 1, patience: float = 2 * PATIENCE_S) -> list[Logged]:
    """The log once so many turns have their end in it; checks that it is whole."""
    log: list[Logged] = await eventually(
        lambda: (log := log_of(product, label)) and sum(event.kind in ENDS for event in log) >= turns and log, patience
    )
    assert_whole(log)
    return log


async def eventually(look: Callable[[], Any], patience: float = PATIENCE_S) -> Any:
    """The first true thing that `look` returns."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to be"
        await asyncio.sleep(0.1)
    return found


def assert_whole(log: Sequence[Logged]) -> None:
    """Numbers without a gap; each turn begins with `accepted`, has one end, and the text that was shown for it."""
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    for turn in {event.turn for event in log}:
        mine = [event for event in log if event.turn == turn]
        assert mine[0].kind == "accepted"
        text, end = "", None
        for event in mine[1:]:
            assert end is None or (event.kind == "reply" and event.body["late"]), (end, event)
            match event.kind:
                case "reset":
                    text = ""
                case "delta":
                    text += event.body["text"]
                case "done" if text:
                    assert event.body["text"] == text
            end = event.kind if event.kind in ENDS else end
        attempts = [event.attempt for event in mine]
        assert attempts == sorted(attempts)


def open_socket(url: str, *subprotocols: str) -> connect:
    """A client that waits no longer than a moment for its close to be answered: it may have frames that nobody read."""
    return talk.open_socket(url, *subprotocols, close_timeout=1)


def ask(number: int | str, conversation: str = "c", **more: Any) -> str:
    """A question of miva.v1."""
    asked = {"type": "ask", "id": f"{conversation} {number}", "conversation": conversation, "message": f"{number}?"}
    return json.dumps(asked | more)


async def event(socket: ClientConnection) -> Any:
    """The next frame."""
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await socket.recv())


async def until(socket: ClientConnection, *wanted: str) -> Any:
    """The next frame of one of these types."""
    while (found := await event(socket))["type"] not in wanted:
        pass
    return found


async def close_code(socket: ClientConnection) -> int | None:
    """The code with which the server closes; what comes before it is dropped."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return socket.close_code
