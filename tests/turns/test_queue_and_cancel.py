"""One turn at a time in a conversation and cancels from anywhere, whichever processes hear of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, scripted_engine
from tests.operations.talk import call
from tests.reading.streams import token_of_somebody
from tests.redis_server import RedisServer
from tests.turns.teller import Teller
from tests.turns.workers import Pair, ask, ended, event, kinds, open_socket, two_workers, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Pair]:
    # A lease so long that nothing here happens because one ran out.
    with two_workers(tmp_path_factory.mktemp("pair"), redis_server, lease_s=600) as pair:
        yield pair


def cancel(turn: str) -> str:
    return json.dumps({"type": "cancel", "turn": turn})


async def test_questions_to_two_workers_wait_in_one_queue(pair: Pair) -> None:
    teller = Teller()
    async with pair.sockets(teller) as (one, two):
        accepted = []
        for number, socket in enumerate((one, two, one, two)):
            await socket.send(ask(number, "queue"))
            while (found := await until(socket, "accepted"))["id"] != f"queue {number}":
                pass
            accepted.append(found)
        assert [found["position"] for found in accepted] == [0, 1, 2, 3]
        assert [asked["message"] for asked in teller.questions] == ["0?"]
        await two.send(ask(2, "queue"))  # asked again: its place as it is now
        assert (await until(two, "accepted"))["position"] == 2
        teller.go.set()
        log = await ended(pair.here, "queue", turns=4)
        assert [asked["message"] for asked in teller.questions] == ["0?", "1?", "2?", "3?"]
        assert [len(asked["history"]) for asked in teller.questions] == [0, 2, 4, 6]
        ends = [found.turn for found in log if found.kind == "done"]
        assert ends == [found.turn for found in log if found.kind == "accepted"]


async def test_a_cancel_at_another_worker_stops_a_running_turn_and_one_that_waits(pair: Pair) -> None:
    teller = Teller()
    async with pair.sockets(teller) as (one, two):
        for number in (1, 2, 3):
            await one.send(ask(number, "cancels"))
        turns = [(await until(one, "accepted"))["turn"] for _ in range(3)]
        await teller.was_asked(1)
        await two.send(cancel(turns[1]))
        assert (await until(one, "cancelled"))["turn"] == turns[1]
        await two.send(cancel(turns[0]))
        await teller.was_cancelled(1)
        assert teller.cancels == [{"type": "cancel", "unique_id": teller.questions[0]["unique_id"]}]
        await teller.connections[0].wait_closed()
        assert (await until(one, "cancelled"))["turn"] == turns[0]
        await two.send(cancel(turns[0]))  # a finished one: nothing happens
        teller.go.set()
        assert (await until(one, "done"))["turn"] == turns[2]
        await one.send(ask(4, "cancels"))
        await until(one, "done")
    await ended(pair.here, "cancels", turns=4)
    assert [asked["message"] for asked in teller.questions] == ["1?", "3?", "4?"]
    # What was stopped is kept for whoever asked it, in the order of asking, and the engine hears nothing of it.
    assert [said["content"] for said in teller.questions[-1]["history"]] == ["3?", teller.text]
    _, shown = await asyncio.to_thread(call, f"{pair.here.url}api/session/cancels/messages/")
    assert [(told["content"], told.get("state")) for told in shown["messages"]] == [
        ("1?", "cancelled"),
        ("2?", "cancelled"),
        ("3?", "done"),
        (teller.text, None),
        ("4?", "done"),
        (teller.text, None),
    ]


async def test_an_engine_that_does_not_stop_loses_its_connection(pair: Pair) -> None:
    gone = asyncio.Event()

    async def deaf(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if json.loads(frame)["type"] == "chat":
            await connection.send('{"type": "stream", "content": "and "}')
            transport: Any = connection.transport
            transport.pause_reading()  # it hears neither the cancel nor that the relay wants to close
            try:
                while not transport.is_closing():
                    await connection.send('{"type": "stream", "content": "so on "}')
                    await asyncio.sleep(0.01)
            finally:
                gone.set()

    async with pair.sockets(deaf) as (one, two):
        await one.send(ask(1, "deaf"))
        turn = (await until(one, "delta"))["turn"]
        await two.send(cancel(turn))
        assert (await until(one, "cancelled"))["turn"] == turn
        await asyncio.wait_for(gone.wait(), 30)


async def test_a_closed_tab_cancels_nothing(pair: Pair) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=pair.port):
        async with open_socket(pair.here.socket_url, "miva.v1") as tab:
            await tab.send(ask(1, "closed tab"))
            await tab.send(ask(2, "closed tab"))
            await until(tab, "delta")
        teller.go.set()
        log = await ended(pair.here, "closed tab", turns=2)
        assert [found.kind for found in log].count("done") == 2
        assert teller.cancels == []


async def test_too_many_questions_that_wait_are_refused_and_leave_nothing(pair: Pair) -> None:
    teller = Teller()
    async with pair.sockets(teller) as (one, _):
        for number in range(101):
            await one.send(ask(number, "many"))
        found = await until(one, "error")
        assert (found["code"], found["id"]) == ("busy", "many 100")
        await one.send(cancel("not a turn"))
        assert (await until(one, "error"))["code"] == "not_found"
        teller.go.set()
        log = await ended(pair.here, "many", turns=100, patience=120)
        assert kinds(log).count("accepted") == 100


async def test_a_turn_of_somebody_else_cannot_be_cancelled(pair: Pair) -> None:
    teller = Teller()
    token = await token_of_somebody(pair.here)
    async with (
        scripted_engine(teller, port=pair.port),
        open_socket(pair.here.socket_url, "miva.v1") as guest,
        open_socket(pair.here.socket_url, "miva.v1", f"token.{token}") as somebody,
    ):
        await guest.send(ask(1, "not yours"))
        turn = (await until(guest, "delta"))["turn"]
        await until(somebody, "hello")
        await somebody.send(cancel(turn))
        assert (await event(somebody))["code"] == "not_found"
        teller.go.set()
        assert (await until(guest, "done"))["turn"] == turn
    assert teller.cancels == []
