"""A PostgreSQL that goes away under the event log: nothing is lost, and nothing is written twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connections

from miva import eventlog, lease, silence
from miva.eventlog import EventLog, fenced, since
from miva.in_thread import in_thread
from miva.models import Owner, Turn
from miva.patiently import patiently
from miva.protocol.events import Delta, Done
from miva.running_turn import RunningTurn
from miva.turn_rows import Claim
from tests import databases
from tests.engines import answering, scripted_engine
from tests.log.conftest import Talk, new_talk
from tests.postgres_server import PostgresServer
from tests.product import PATIENCE_S


class Cutter:
    """Stands between the log and the server; cuts a connection at its commit when it is told to."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts: list[str] = []
        """`question`: the next commit does not reach the server; `answer`: nobody hears that it was carried out."""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:  # it is being started again
                    client.close()
                    continue
                for source, target, name, mark in (
                    (client, server, "question", b"COMMIT"),
                    (server, client, "answer", b"COMMIT\x00"),
                ):
                    threading.Thread(target=self._pass, args=(source, target, name, mark), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, name: str, mark: bytes) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if mark in data and self.cuts[:1] == [name]:
                    self.cuts.pop(0)
                    break
                target.sendall(data)
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def _server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def server(_server: PostgresServer) -> PostgresServer:
    """One for these tests alone, to be killed; each finds it alive."""
    return _server if _server.process is not None else _server.start()


@pytest.fixture
def cutter(server: PostgresServer) -> Iterator[Cutter]:
    cutter = Cutter(server.port)
    yield cutter
    cutter.close()


@pytest.fixture(scope="module")
def new_database(_server: PostgresServer) -> str:
    return _server.new_database()


@pytest.fixture
def database(new_database: str, server: PostgresServer, cutter: Cutter, django_db_blocker: Any) -> Iterator[str]:
    address = new_database.replace(str(server.port), str(cutter.port))
    with databases.using(databases.postgres_settings(address), django_db_blocker):
        Owner.objects.all().delete()
        yield "postgresql"


async def write(log: EventLog, talk: Talk, first: int, count: int) -> list[int]:
    """Numbered events, one after the other."""
    written = []
    for number in range(first, first + count):
        [stored] = await log.append(talk.conversation_id, fenced(talk.fence, [Delta(f"{number}")], 10.0))
        written.append(stored.seq)
    return written


async def words(talk: Talk) -> list[str]:
    """What is in the log, read again where a connection had died."""
    found: list[Any] = []
    while True:
        try:
            page = await since(talk.conversation_id, len(found))
        except DatabaseError:
            continue
        if not page:
            assert [at.seq for at in found] == list(range(1, len(found) + 1))
            return [at.event.text for at in found]
        assert isinstance(page, list)
        found += page


@pytest.mark.parametrize("cut", ["question", "answer"])
async def test_a_commit_whose_answer_is_lost_is_carried_out_once(
    log: EventLog, talk: Talk, cutter: Cutter, cut: str
) -> None:
    await write(log, talk, 0, 3)
    cutter.cuts.append(cut)
    assert await write(log, talk, 3, 3) == [4, 5, 6]
    assert cutter.cuts == []
    assert await words(talk) == [f"{number}" for number in range(6)]


@pytest.mark.parametrize("cut", ["question", "answer"])
async def test_so_is_one_that_many_share(log: EventLog, talk: Talk, cutter: Cutter, cut: str) -> None:
    others = [await in_thread(new_talk)() for _ in range(4)]
    cutter.cuts += [cut] * 3
    await asyncio.gather(*[write(log, other, 0, 10) for other in others])
    assert cutter.cuts == []
    for other in others:
        assert await words(other) == [f"{number}" for number in range(10)]


async def test_connections_that_are_ended_all_the_time(log: EventLog, talk: Talk, server: PostgresServer) -> None:
    writing = asyncio.create_task(write(log, talk, 0, 60))
    for _ in range(6):
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.drop_connections)
    assert await writing == list(range(1, 61))
    assert await words(talk) == [f"{number}" for number in range(60)]


async def test_a_server_that_is_started_again(log: EventLog, talk: Talk, server: PostgresServer) -> None:
    await write(log, talk, 0, 3)
    await asyncio.to_thread(server.kill)
    writing = asyncio.create_task(write(log, talk, 3, 3))
    await asyncio.sleep(0.5)
    assert not writing.done()
    await asyncio.to_thread(server.start)
    assert await writing == [4, 5, 6]
    assert await words(talk) == [f"{number}" for number in range(6)]


async def test_a_server_that_stands_still_for_a_while(log: EventLog, talk: Talk, server: PostgresServer) -> None:
    await write(log, talk, 0, 3)
    server.pause()
    writing = asyncio.create_task(write(log, talk, 3, 3))
    await asyncio.sleep(1)
    assert not writing.done()
    server.go_on()
    assert await writing == [4, 5, 6]
    assert await words(talk) == [f"{number}" for number in range(6)]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Waits are bounded, as in a process that serves, and short."""
    monkeypatch.setattr(silence, "_is_bounded", True)
    monkeypatch.setattr(silence, "PATIENCE_S", 0.5)
    return silence.PATIENCE_S


async def test_a_server_that_hangs_holds_nobody_and_loses_nothing(
    log: EventLog, talk: Talk, server: PostgresServer, patience: float, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("miva").addHandler(caplog.handler)
    await write(log, talk, 0, 3)
    await asyncio.gather(*[since(talk.conversation_id, 0) for _ in range(8)])  # each thread has a connection then
    server.pause()
    try:
        writing = asyncio.create_task(write(log, talk, 3, 3))
        reading = [asyncio.create_task(since(talk.conversation_id, 0)) for _ in range(40)]
        # One after the other, four at a time, they would have waited for ten times as long.
        refused = await asyncio.wait_for(asyncio.gather(*reading, return_exceptions=True), 20)
        assert {type(why) for why in refused} == {OperationalError}
        assert not writing.done()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            await since(talk.conversation_id, 0)
        assert time.monotonic() - began < 5
    finally:
        server.go_on()
    assert await writing == [4, 5, 6]
    assert await words(talk) == [f"{number}" for number in range(6)]
    said = [record.getMessage() for record in caplog.records if record.name == "miva.silence"]
    assert len(said) == 2, said
    assert said[0].startswith("The database does not answer (")
    assert said[1] == "The database answers again"


async def test_a_statement_that_takes_too_long_is_ended_and_the_database_is_not_taken_for_silent(
    talk: Talk, server: PostgresServer, patience: float, caplog: pytest.LogCaptureFixture
) -> None:
    def sleep() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(600)")

    logging.getLogger("miva").addHandler(caplog.handler)
    with pytest.raises(OperationalError):
        await in_thread(sleep)()
    assert isinstance(await since(talk.conversation_id, 0), list)
    assert "does not answer" not in caplog.text
    with server.client() as client:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + PATIENCE_S
        while client.execute(query).fetchone() != (0,):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("hangs", [False, True], ids=["gone", "hung"])
async def test_a_turn_that_begins_while_the_server_is_away_is_answered(
    talk: Talk, server: PostgresServer, settings: Any, patience: float, hangs: bool
) -> None:
    """It reads what it is about before it asks: a server that is started again at that moment costs no answer."""
    about = Turn.objects.filter(pk=talk.fence.turn_id)
    await in_thread(lambda: about.update(worker=lease.WORKER))()
    async with scripted_engine(answering('{"type": "done", "response": "So on."}')) as engine:
        settings.MIVA_ENGINE_URLS = (engine.url,)
        await asyncio.to_thread(server.pause if hangs else server.kill)
        claim = Claim(talk.fence.turn_id, talk.conversation_id, 1, "What is it?", {})
        turn = RunningTurn(claim, on_end=lambda _, __: None).start()
        await asyncio.sleep(2.5 if hangs else 1)
        await asyncio.to_thread(server.go_on if hangs else server.start)
        await asyncio.wait_for(turn, PATIENCE_S)
        await asyncio.to_thread(eventlog.log.close)
    found = await patiently(lambda: since(talk.conversation_id, 0))
    assert isinstance(found, list)
    end = found[-1].event
    assert isinstance(end, Done), end
    assert end.text == "So on."


async def test_patience_ends_and_the_log_goes_on_later(talk: Talk, server: PostgresServer) -> None:
    log = EventLog(patience_s=1)
    await write(log, talk, 0, 1)
    await asyncio.to_thread(server.kill)
    results = await asyncio.gather(*[write(log, talk, 100, 1) for _ in range(3)], return_exceptions=True)
    assert all(isinstance(result, DatabaseError) for result in results)
    await asyncio.to_thread(server.start)
    await write(log, talk, 1, 1)
    assert await words(talk) == ["0", "1"]
    await asyncio.to_thread(log.close)


async def test_closing_does_not_wait_for_a_database_that_is_away(talk: Talk, server: PostgresServer) -> None:
    log = EventLog()
    await write(log, talk, 0, 1)
    await asyncio.to_thread(server.kill)
    call = asyncio.create_task(write(log, talk, 1, 1))
    await asyncio.sleep(0.2)
    await asyncio.wait_for(asyncio.to_thread(log.close), 10)
    with pytest.raises(DatabaseError):
        await call
    await asyncio.to_thread(server.start)


async def test_a_conversation_that_somebody_locks_holds_up_no_other(log: EventLog, talk: Talk) -> None:
    other = await in_thread(new_talk)()
    about = connections["default"].settings_dict
    address = f"postgresql://postgres@127.0.0.1:{about['PORT']}/{about['NAME']}"
    with psycopg.connect(address) as locker:
        locker.execute("SELECT 1 FROM miva_conversation WHERE id = %s FOR UPDATE", [talk.conversation_id])
        writing = asyncio.create_task(write(log, talk, 0, 3))
        await write(log, other, 0, 20)
        assert not writing.done()
        locker.rollback()
        assert await writing == [1, 2, 3]
