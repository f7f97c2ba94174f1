"""SIGTERM: clients are told, what runs is handed over at once, and the server is gone in ten seconds."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines import scripted_engine
from tests.postgres_server import PostgresServer
from tests.processes import free_port
from tests.product import Product
from tests.redis_server import RedisServer
from tests.turns.teller import Teller
from tests.turns.workers import (
    STOP_S,
    ask,
    beside,
    close_code,
    ended,
    eventually,
    kinds,
    log_of,
    messages,
    open_socket,
    until,
    workers,
)

pytestmark = pytest.mark.timeout(300)
FOR_EVER = 3600.0
"""A lease that does not run out in any test: what another process takes was handed over."""
SLOW = float(os.environ.get("TEST_PATIENCE", "1"))


async def stopped(product: Product) -> int:
    """Waits for a server that was told to end; returns its exit code."""
    assert product.process is not None
    return await asyncio.to_thread(product.process.wait, STOP_S * SLOW)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def taker_on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, port: int, redis_server: RedisServer
) -> Iterator[Product]:
    engine = f"ws://127.0.0.1:{port}/ws/chat"
    with workers(tmp_path_factory.mktemp("sqlite"), 1, engine, redis_server, lease_s=FOR_EVER) as (product,):
        yield product


@pytest.fixture(scope="module")
def taker_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, port: int, redis_server: RedisServer, postgres: PostgresServer
) -> Iterator[Product]:
    engine, database = f"ws://127.0.0.1:{port}/ws/chat", postgres.new_database()
    with workers(tmp_path_factory.mktemp("postgres"), 1, engine, redis_server, database=database) as (product,):
        yield product


@pytest.fixture
def taker(request: pytest.FixtureRequest) -> Product:
    """The worker that goes on, beside the one that ends."""
    product: Product = request.getfixturevalue(f"taker_on_{request.param}")
    return product


@pytest.mark.parametrize(
    ("server", "taker"),
    [("uvicorn", "sqlite"), ("uvicorn", "postgres"), ("daphne", "sqlite"), ("runserver", "sqlite")],
    indirect=["taker"],
)
async def test_another_worker_takes_a_turn_at_once_when_its_owner_is_told_to_end(
    server: str, taker: Product, port: int
) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port):
        with beside(taker, server) as owner:
            async with open_socket(owner.socket_url, "miva.v1") as client:
                await client.send(ask(1, server))
                await client.send(ask(2, server))
                await until(client, "delta")
                assert owner.process is not None
                owner.process.terminate()
                assert await close_code(client) in (1001, 1012)
            await teller.was_asked(2)
            assert teller.cancels == [{"type": "cancel", "unique_id": teller.questions[0]["unique_id"]}]
            assert await stopped(owner) in (0, -signal.SIGTERM)
        teller.go.set()
        log = await ended(taker, server, turns=2)
        assert [found.kind for found in log].count("reset") == 1
        assert [text for role, text in messages(taker, server) if role == "assistant"] == [teller.text] * 2


@pytest.mark.parametrize("taker", ["postgres"], indirect=True)
async def test_a_database_that_does_not_answer_does_not_keep_the_server(
    taker: Product, port: int, postgres: PostgresServer
) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port):
        with beside(taker, "uvicorn") as owner:
            async with open_socket(owner.socket_url, "miva.v1") as client:
                await client.send(ask(1, "hangs"))
                await until(client, "delta")
                postgres.pause()
                try:
                    assert owner.process is not None
                    owner.process.terminate()
                    assert await close_code(client) in (1001, 1012)
                    await stopped(owner)
                finally:
                    postgres.go_on()
        teller.go.set()
        assert kinds(await ended(taker, "hangs"))[-1] == "done"


@pytest.mark.parametrize("server", ["daphne", "serve"])
async def test_the_only_server_goes_on_with_what_it_left_when_it_is_started_again(server: str, tmp_path: Path) -> None:
    teller = Teller()
    async with scripted_engine(teller) as engine:
        with workers(tmp_path, 1, engine.url, server=server, lease_s=FOR_EVER) as (only,):
            with client_that_reads_nothing(only):  # it does not keep the server
                async with open_socket(only.socket_url, "miva.v1") as client:
                    await client.send(ask(1))
                    await until(client, "delta")
                    assert only.process is not None
                    only.process.terminate()
                    assert await close_code(client) in (1001, 1012)
                assert await stopped(only) in (0, -signal.SIGTERM)
            only.start()
            teller.go.set()
            assert kinds(await ended(only, "c"))[-1] == "done"


@contextmanager
def client_that_reads_nothing(product: Product) -> Iterator[None]:
    with sockets.create_connection(("127.0.0.1", product.port)) as raw:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /ws/chat/ HTTP/1.1", f"Host: 127.0.0.1:{product.port}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Protocol: miva.v1", "", ""]
        raw.sendall("\r\n".join(lines).encode())
        assert b"101" in raw.recv(1000)
        yield


async def test_an_answer_that_ends_while_the_server_does_is_whole_and_asked_once(tmp_path: Path) -> None:
    """The hand-over of what is ending at that moment waits for the end."""
    teller = Teller(words=2000, held_after=2000)
    async with scripted_engine(teller) as engine:
        with workers(tmp_path, 1, engine.url, lease_s=FOR_EVER) as (only,):
            for number in range(5):
                async with open_socket(only.socket_url, "miva.v1") as client:
                    await client.send(ask(number, f"c{number}"))
                    await until(client, "delta")
            assert only.process is not None
            only.process.terminate()
            assert await stopped(only) in (0, -signal.SIGTERM)
            only.start()
            teller.go.set()
            for number in range(5):
                log = await ended(only, f"c{number}")
                assert messages(only, f"c{number}")[-1] == ("assistant", teller.text)
                assert [found.kind for found in log].count("done") == 1


async def test_a_question_asked_while_the_server_ends_is_kept_for_the_next(tmp_path: Path) -> None:
    """Whatever moment it comes at: where it was accepted it is answered."""
    teller = Teller(words=3, held_after=3)
    teller.go.set()
    async with scripted_engine(teller) as engine:
        with workers(tmp_path, 1, engine.url, lease_s=FOR_EVER) as (only,):
            async with open_socket(only.socket_url, "miva.v1") as client:
                await until(client, "hello")
                assert only.process is not None
                only.process.terminate()
                for number in range(200):
                    try:
                        await client.send(ask(number, f"late {number % 10}"))
                    except Exception:
                        break
                    await asyncio.sleep(0.002)
            await stopped(only)
            only.start()
            await eventually(
                lambda: all(
                    sum(found.kind == "accepted" for found in log) == sum(found.kind == "done" for found in log)
                    for log in (log_of(only, f"late {number}") for number in range(10))
                )
            )
            asked = [f"late {number}" for number in range(10) if log_of(only, f"late {number}")]
            assert asked
            for label in asked:
                await ended(only, label)
