"""Turns of miva.v1 one after another: each has one end, numbers have no gaps, one runs at a time, an id asks once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, answering
from tests.product import PATIENCE_S
from tests.relay.world import World, event, file, until

BURST = 20_000
TIMES = 200
ENDS = {"done", "cancelled", "error"}


def ask(number: int, conversation: str = "c", **more: Any) -> str:
    return json.dumps({"type": "ask", "id": f"{number}", "conversation": conversation, "message": f"{number}"} | more)


async def everything_until_pong(client: ClientConnection) -> list[Any]:
    """All that has been sent to this client, by now and a moment later."""
    await asyncio.sleep(0.5)
    await client.send('{"type": "ping"}')
    found = []
    while (frame := await event(client))["type"] != "pong":
        found.append(frame)
    return found


def assert_numbered(events: list[Any]) -> None:
    """These are all events of a conversation: 1, 2, 3 … and each turn has one end, which is its last event."""
    assert [found["seq"] for found in events] == list(range(1, len(events) + 1))
    for turn in {found["turn"] for found in events}:
        kinds = [found["type"] for found in events if found["turn"] == turn]
        assert kinds[0] == "accepted"
        assert kinds[-1] in ENDS
        assert not ENDS & set(kinds[:-1]), kinds[-20:]


@pytest.mark.parametrize("kind", ["delta", "reply"])
async def test_a_cancel_in_the_middle_of_a_fast_burst_is_the_one_end_of_its_turn(relay: World, kind: str) -> None:
    piece = '{"type": "stream", "content": "%s"}' if kind == "delta" else "%s"

    async def bursts(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if json.loads(frame)["type"] == "chat":
            for number in range(BURST):
                await connection.send(piece % (f"{number} " * TIMES))
            await connection.send('{"type": "done"}')

    found: list[Any] = []
    async with relay.engine(bursts), relay.socket(token=relay.token(), dialect="miva.v1") as client:
        await until(client, "hello")
        for number, heard_first in enumerate((1, 2, 20, 200)):
            await client.send(ask(number))
            turn, words = "", 0
            while words < heard_first * TIMES:  # of `delta` several may be in one frame
                found.append(await event(client))
                turn = found[-1]["turn"]
                words += (found[-1].get("text") or found[-1].get("frame") or "").count(" ")
            await client.send(json.dumps({"type": "cancel", "turn": turn}))
            await asyncio.sleep(0.3)  # a slow reader: what the engine said meanwhile waits in every buffer on the way
            while found[-1]["type"] not in ENDS:
                found.append(await event(client))
            found += await everything_until_pong(client)
            assert (found[-1]["type"], found[-1]["turn"]) == ("cancelled", turn), found[-1]
    assert_numbered(found)


class OneAtATime:
    """An engine that answers in a moment and notes how many questions it has at once."""

    def __init__(self, *, is_slow_to_close: bool, is_typed: bool) -> None:
        self._is_slow_to_close = is_slow_to_close
        self._is_typed = is_typed
        self._running = 0
        self.most = 0

    async def __call__(self, _: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(0.05)
        self._running -= 1
        if self._is_slow_to_close:  # it does not see that the relay wants to close
            connection.transport.pause_reading()
        words = json.loads(frame)["message"]
        answer = {"type": "done", "response": words} if self._is_typed else {"message": words}
        await connection.send(json.dumps(answer))


@pytest.mark.parametrize("is_slow_to_close", [False, True], ids=["quick to close", "slow to close"])
@pytest.mark.parametrize("is_typed", [True, False], ids=["typed", "untyped"])
async def test_asking_again_at_once_when_an_answer_is_done(
    hasty: World, is_slow_to_close: bool, is_typed: bool
) -> None:
    script = OneAtATime(is_slow_to_close=is_slow_to_close, is_typed=is_typed)
    found: list[Any] = []
    async with hasty.engine(script), hasty.socket(token=hasty.token(), dialect="miva.v1") as client:
        await until(client, "hello")
        for number in range(6 if is_typed else 3):
            await client.send(ask(number))
            while not found or found[-1]["type"] != "done" or found[-1]["text"] != f"{number}":
                found.append(await event(client))
        found += await everything_until_pong(client)
    assert_numbered(found)
    assert script.most == 1
    assert {told["position"] for told in found if told["type"] == "accepted"} == {0}


async def test_several_questions_at_once_wait_in_their_order_and_more_come_as_answers_do(hasty: World) -> None:
    script = OneAtATime(is_slow_to_close=True, is_typed=True)
    found: list[Any] = []
    async with hasty.engine(script) as engine, hasty.socket(token=hasty.token(), dialect="miva.v1") as client:
        await until(client, "hello")
        for number in range(3):
            await client.send(ask(number))
        asked = 3
        while sum(told["type"] == "done" for told in found) < 9:
            found.append(await event(client))
            if found[-1]["type"] == "done" and asked < 9:
                await client.send(ask(asked))
                asked += 1
        found += await everything_until_pong(client)
        assert [frame["message"] for frame in engine.asked] == [str(number) for number in range(9)]
    assert_numbered(found)
    assert script.most == 1
    waiting = 0
    for told in found:  # each is told how many are before it
        if told["type"] == "accepted":
            assert told["position"] == waiting
            waiting += 1
        waiting -= told["type"] in ENDS


async def test_two_questions_at_once_at_whatever_moment_the_answer_before_lets_go(hasty: World) -> None:
    """The next question is being stored while the connection of the answer before it takes a little longer to close."""
    running = most = 0
    delays = [number / 1000 for number in range(1, 31)]

    async def closes_late(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.04)
        running -= 1
        reading: Any = connection.transport
        reading.pause_reading()
        asyncio.get_running_loop().call_later(delays[len(engine.frames) // 2 % len(delays)], reading.resume_reading)
        await connection.send('{"type": "done", "response": "x"}')

    found: list[Any] = []
    async with hasty.engine(closes_late), hasty.socket(token=hasty.token(), dialect="miva.v1") as client:
        await until(client, "hello")
        for number in range(len(delays)):
            for asked in (2 * number, 2 * number + 1):
                await client.send(ask(asked))
                while not found or found[-1]["type"] != "accepted" or found[-1]["id"] != f"{asked}":
                    found.append(await event(client))
            while sum(told["type"] == "done" for told in found) < 2 * number + 2:
                found.append(await event(client))
        found += await everything_until_pong(client)
    assert_numbered(found)
    assert most == 1


async def test_the_same_id_asked_three_times_at_once_with_a_file_is_one_turn(hasty: World) -> None:
    name, token, _ = hasty.account()
    script = answering('{"type": "done", "response": "once"}')
    asked = ask(1, files=[file(b"It is Alpha. " * 30_000, "a.txt", "text/plain")])
    documents = (
        "SELECT status FROM miva_document JOIN miva_owner ON owner_id = miva_owner.id"
        " JOIN miva_user ON user_id = miva_user.id WHERE username = ?"
    )
    async with (
        hasty.engine(script) as engine,
        hasty.socket(token=token, dialect="miva.v1") as one,
        hasty.socket(token=token, dialect="miva.v1") as two,
        hasty.socket(token=token, dialect="miva.v1") as three,
    ):
        clients = (one, two, three)
        await asyncio.gather(*(client.send(asked) for client in clients))
        accepted = [await until(client, "accepted") for client in clients]
        assert len({(told["turn"], told["seq"]) for told in accepted}) == 1
        async with asyncio.timeout(PATIENCE_S):
            while {status for (status,) in hasty.rows(documents, name)} - {"ready", "failed"}:
                await asyncio.sleep(0.1)
        assert ("ready",) in hasty.rows(documents, name)
        await one.send(ask(2))  # whichever socket had the turn: behind it the next one runs
        await engine.wait_for_frames(2)
        while (await until(one, "done"))["turn"] == accepted[0]["turn"]:
            pass
        assert [frame["message"].partition("\n")[0] for frame in engine.asked] == ["1", "2"]


async def test_an_id_asked_again_on_the_same_socket_is_found_even_when_the_limit_is_reached(strict: World) -> None:
    async with (
        strict.engine(answering('{"type": "done", "response": "x"}')) as engine,
        strict.socket(token=strict.token(), dialect="miva.v1") as client,
    ):
        first = None
        for number in range(5):  # as many as may be asked in a second
            await client.send(ask(number))
            first = first or await until(client, "accepted")
        for _ in range(3):
            await client.send(ask(0))
        again = [told for told in await everything_until_pong(client) if told.get("id") == "0"]
        assert again == [first] * 3
        await engine.wait_for_frames(5)
        await everything_until_pong(client)
        assert len(engine.frames) == 5
