"""A question that was accepted is answered, whatever becomes of the process that asked the engine."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import scripted_engine
from tests.postgres_server import PostgresServer
from tests.processes import free_port
from tests.product import Product
from tests.redis_server import RedisServer
from tests.turns.teller import Teller
from tests.turns.workers import (
    Pair,
    ask,
    change,
    ended,
    eventually,
    kinds,
    log_of,
    messages,
    open_socket,
    put_to_sleep,
    rows,
    two_workers,
    until,
    workers,
)

pytestmark = pytest.mark.timeout(400)
LEASE_S = 2.0


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def _pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Pair]:
    database = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else ""
    with two_workers(tmp_path_factory.mktemp("pair"), redis_server, lease_s=LEASE_S, database=database) as pair:
        yield pair


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    """Two workers that live, on each database in turn."""
    _pair.start()
    return _pair


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Product]:
    """A server without others."""
    with workers(Path(tmp_path_factory.mktemp("only")), 1, f"ws://127.0.0.1:{port}/ws/chat", lease_s=LEASE_S) as (it,):
        yield it


def send(product: Product, number: signal.Signals) -> None:
    assert product.process is not None
    product.process.send_signal(number)


async def in_the_middle(product: Product, label: str, words: int) -> None:
    """Returns when so many words of an answer are in the log."""
    await eventually(
        lambda: (
            sum(len(found.body["text"].split()) for found in log_of(product, label) if found.kind == "delta") >= words
        )
    )


async def test_another_process_asks_again_when_the_owner_is_killed_and_nobody_is_connected(pair: Pair) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=pair.port):
        async with open_socket(pair.here.socket_url, "miva.v1") as socket:
            await socket.send(ask(1, "killed"))
            await socket.send(ask(2, "killed"))
            while (await until(socket, "accepted"))["id"] != "killed 2":
                pass
        await in_the_middle(pair.there, "killed", teller.held_after)
        pair.here.kill()
        await teller.was_asked(2)
        teller.go.set()
        log = await ended(pair.there, "killed", turns=2)
        first = [found for found in log if found.turn == log[0].turn]
        assert kinds(first) == ["accepted", "thinking", "delta", "reset", "delta", "done"]
        assert [found.attempt for found in first if found.kind in ("reset", "done")] == [2, 2]
        # The second waited behind it: asked once, and never before the first had its end.
        assert [asked["message"] for asked in teller.questions] == ["1?", "1?", "2?"]
        assert [found.kind for found in log if found.turn == log[1].turn][-1] == "done"
        said = [("user", "1?"), ("assistant", teller.text), ("user", "2?"), ("assistant", teller.text)]
        assert messages(pair.there, "killed") == said


async def test_an_owner_that_slept_past_its_lease_adds_nothing_when_it_wakes(pair: Pair) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=pair.port), open_socket(pair.here.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "slept"))
        await until(socket, "delta")
        put_to_sleep(pair.here)
        await teller.was_asked(2)
        teller.go.set()  # both connections get the rest; the sleeper finds it when it wakes
        await ended(pair.there, "slept")
        send(pair.here, signal.SIGCONT)
        # Its reader comes back to the same log, and its engine connection is let go.
        while (await until(socket, "reset", "done"))["type"] != "done":
            pass
        await teller.connections[0].wait_closed()
        await socket.send(ask(2, "slept"))
        assert (await until(socket, "done"))["text"] == teller.text
    log = await ended(pair.there, "slept", turns=2)
    assert [found.kind for found in log].count("reset") == 1
    assert len(messages(pair.there, "slept")) == 4


async def test_a_cancel_whose_turn_lost_its_process_is_kept_and_the_engine_is_not_asked_again(pair: Pair) -> None:
    teller = Teller()
    async with pair.sockets(teller) as (socket, second):
        await socket.send(ask(1, "lost"))
        turn = (await until(socket, "delta"))["turn"]
        pair.here.kill()
        await second.send(json.dumps({"type": "cancel", "turn": turn}))
        await eventually(lambda: rows(pair.there, "SELECT 1 FROM miva_turn WHERE cancel_asked"))
        await second.send(ask(2, "lost"))
        teller.go.set()
        assert (await until(second, "done"))["turn"] != turn
    log = await ended(pair.there, "lost", turns=2)
    assert kinds(log) == ["accepted", "thinking", "delta", "accepted", "cancelled", "thinking", "delta", "done"]
    assert [asked["message"] for asked in teller.questions] == ["1?", "2?"]


@pytest.mark.parametrize("_pair", ["postgres"], indirect=True)
async def test_a_database_that_stands_still_past_all_leases_costs_nobody_a_turn(
    pair: Pair, postgres: PostgresServer
) -> None:
    """Nobody could renew a lease; who still lives does that before others take what is overdue."""
    teller = Teller(words=4000, held_after=5)
    async with scripted_engine(teller, port=pair.port), open_socket(pair.here.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "still"))
        await until(socket, "delta")
        postgres.pause()
        teller.go.set()
        await asyncio.sleep(2 * LEASE_S)
        postgres.go_on()
        assert (await until(socket, "done", "error"))["text"] == teller.text
    assert kinds(await ended(pair.there, "still")) == ["accepted", "thinking", "delta", "done"]
    assert len(teller.questions) == 1


async def test_the_only_server_killed_in_the_middle_goes_on_when_it_is_started_again(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port):
        async with open_socket(only.socket_url, "miva.v1") as socket:
            await socket.send(ask(1, "again"))
            await until(socket, "delta")
            only.kill()
        teller.go.set()
        only.start()
        log = await ended(only, "again")
        assert kinds(log)[-1] == "done"
        assert [found.kind for found in log].count("reset") == 1
        async with open_socket(only.socket_url, "miva.v1") as socket:
            await socket.send(json.dumps({"type": "resume", "conversation": "again", "after": 0}))
            await until(socket, "accepted")
            assert (await until(socket, "done"))["seq"] == log[-1].seq


async def test_the_only_server_that_slept_past_its_lease_goes_on_where_it_was(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "nap"))
        await until(socket, "delta")
        send(only, signal.SIGSTOP)
        await asyncio.sleep(1.5 * LEASE_S)
        send(only, signal.SIGCONT)
        await asyncio.sleep(LEASE_S)
        teller.go.set()
        assert (await until(socket, "done"))["text"] == teller.text
    assert kinds(await ended(only, "nap")) == ["accepted", "thinking", "delta", "done"]
    assert len(teller.questions) == 1


async def test_a_question_that_three_processes_began_fails_with_a_reason(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "three"))
        await socket.send(ask(2, "three"))
        await until(socket, "delta")
        # As if it were the third process that asks.
        change(only, "UPDATE miva_turn SET attempt = 3, worker = 'x' WHERE state = 'running'")
        failed = await until(socket, "error")
        assert failed["code"] == "internal"
        assert "three times" in failed["message"]
        teller.go.set()
        assert (await until(socket, "done"))["turn"] != failed["turn"]
    log = await ended(only, "three", turns=2)
    assert [asked["message"] for asked in teller.questions] == ["1?", "2?"]
    assert "reset" not in kinds(log)
