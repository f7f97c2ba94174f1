"""The plain dialect where engines come, go and pause: what is answered, and what stands in the history."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from miva.answer_recorder import QUIET_S
from tests.engines import ScriptedEngine, echo, silent
from tests.relay.asker import DIALECTS, Asker
from tests.relay.world import World, assert_silent, event, question, text

A_WHILE_S = QUIET_S + 0.7


async def works_again(hasty: World, client: ClientConnection) -> None:
    """Later questions are answered, and what failed is not asked again."""
    async with hasty.engine(echo) as engine:
        for number in range(3):
            await client.send(question(f"{number}", None))
            assert (await event(client))["message"] == f"{number}"
        await assert_silent(client)
        assert len(engine.frames) == 3


async def test_an_engine_that_takes_a_question_closes_and_is_gone(hasty: World) -> None:
    async with hasty.socket(token=hasty.token()) as client:
        async with hasty.engine(silent) as engine:
            await client.send(question("q", None))
            await engine.wait_for_frames(1)
        assert (await event(client))["code"] == "engine_unavailable"
        await works_again(hasty, client)


async def test_an_engine_that_takes_a_question_closes_and_lets_nobody_in_again(hasty: World) -> None:
    is_over = asyncio.Event()

    async def lets_in_the_first(connection: ServerConnection, _: Request) -> None:
        if engine.connections:
            await is_over.wait()

    async def closes(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.close()

    async with hasty.socket(token=hasty.token()) as client:
        async with hasty.engine(closes, process_request=lets_in_the_first) as engine:
            await client.send(question("q", None))
            assert (await event(client))["code"] == "engine_unavailable"
            is_over.set()
        await works_again(hasty, client)


async def test_an_answer_after_a_long_thought_stands_in_the_history_once(relay: World) -> None:
    async def thinks(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.send('{"type": "thinking"}')
        await asyncio.sleep(A_WHILE_S)
        await connection.send('{"type": "done", "response": "It is Alpha."}')

    async with relay.engine(thinks):
        async with relay.socket(token=relay.token()) as client:
            await client.send(question("What is it?", "long thought"))
            assert json.loads(await text(client))["type"] == "thinking"
            assert json.loads(await text(client))["type"] == "done"
        found = await relay.history("long thought", 2)
    assert found == [("user", "What is it?", []), ("assistant", "It is Alpha.", [])]


async def test_an_answer_in_two_bursts_with_a_pause_stands_in_the_history_once_and_whole(relay: World) -> None:
    async def twice(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.send("It is Alpha")
        await asyncio.sleep(A_WHILE_S)
        await connection.send("and Beta")

    async with relay.engine(twice):
        async with relay.socket(token=relay.token()) as client:
            await client.send(question("What is it?", "two bursts"))
            assert [await text(client) for _ in range(2)] == ["It is Alpha", "and Beta"]
            assert relay.messages("two bursts")[1:] == [("assistant", "It is Alpha", [])]  # it was quiet for so long
            await client.send(question("And?", "two bursts"))
            assert await text(client) == "It is Alpha"
        found = await relay.history("two bursts", 4)
    assert found == [
        ("user", "What is it?", []),
        ("assistant", "It is Alpha\n\nand Beta", []),
        ("user", "And?", []),
        ("assistant", "It is Alpha", []),
    ]


async def test_a_flood_of_answers_stands_in_the_history_whole(relay: World) -> None:
    pieces = [f"{number} " + "x" * 1_000 for number in range(900)]

    async def floods(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        for piece in pieces:
            await connection.send(piece)

    async def asks(number: int) -> None:
        async with relay.socket(token=token) as client:
            await client.send(question("All of it?", f"flood {number}"))
            for piece in pieces:
                assert await text(client) == piece

    token = relay.token()
    async with relay.engine(floods):
        await asyncio.gather(*(asks(number) for number in range(20)))
        await asyncio.sleep(A_WHILE_S)
    for number in range(20):
        _, (_, answer, _) = await relay.history(f"flood {number}", 2)
        assert answer == "\n\n".join(pieces)


HALF = json.dumps(
    {
        "type": "done",
        "response": "half \ud800 a character",
        "sources": [{"document": "\ud800", "name": "\udfff.pdf", "page": 1, "quote": "\udc00"}],
    }
)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_half_a_character_of_an_engine_spoils_no_answer(relay: World, dialect: str) -> None:
    async def says_halves(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.send('{"type": "stream", "content": "\\ud800"}')
        await connection.send(HALF)

    label = f"halves {dialect}"
    async with relay.engine(says_halves), Asker(relay, dialect) as asker:
        if dialect == "plain":
            await asker.client.send(question("q", label))
            assert [await text(asker.client) for _ in range(2)] == ['{"type": "stream", "content": "\\ud800"}', HALF]
            await asker.client.close()
            assert (await relay.history(label, 2))[1] == ("assistant", "half ? a character", [])
        else:
            assert await asker.ask("q") == "half ? a character"


async def test_one_and_one_point_nought_are_the_same_conversation(relay: World) -> None:
    async with relay.engine(echo), relay.socket(token=relay.token()) as client:
        for written in ("71", "71.0", "7.1e1", '"71"'):
            await client.send(f'{{"message": "{written.strip(chr(34))}", "unique_id": {written}}}')
            await text(client)
        async with relay.socket(token=relay.token()) as other:
            await other.send('{"message": "q", "unique_id": 71.0}')
            assert (await event(other))["code"] == "forbidden"
        found = await relay.history("71", 6)
    assert [content for role, content, _ in found if role == "user"][:3] == ["71", "71.0", "7.1e1"]


def answer_to(frame: str) -> str:
    return json.dumps({"message": f"answer to {json.loads(frame)['message']}"})


async def asks_at_once(client: ClientConnection, label: str, *questions: str) -> None:
    for words in questions:
        await client.send(question(words, label))


async def test_questions_asked_before_the_answers_stand_in_the_history_with_their_own(relay: World) -> None:
    async def slowly(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        await asyncio.sleep(0.2)
        await connection.send(answer_to(frame))

    async with relay.engine(slowly):
        async with relay.socket(token=relay.token()) as client:
            await asks_at_once(client, "three at once", "one", "two", "three")
            for words in ("one", "two", "three"):
                assert (await event(client))["message"] == f"answer to {words}"
            await client.send(question("four", "three at once"))
            assert (await event(client))["message"] == "answer to four"
        found = await relay.history("three at once", 8)
    numbers = ("one", "two", "three", "four")
    assert [content for _, content, _ in found] == [said for word in numbers for said in (word, f"answer to {word}")]


async def test_pieces_of_an_answer_stay_with_their_question_until_it_is_done(relay: World) -> None:
    is_asked = asyncio.Event()

    async def streams(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        words = json.loads(frame)["message"]
        await connection.send('{"type": "thinking"}')
        for number in range(2):
            await connection.send(json.dumps({"type": "stream", "content": f"{words}{number} "}))
            await is_asked.wait()
        await connection.send('{"type": "done"}')

    async with relay.engine(streams):
        async with relay.socket(token=relay.token()) as client:
            await client.send(question("a", "in pieces"))
            assert [(await event(client))["type"] for _ in range(2)] == ["thinking", "stream"]
            await asks_at_once(client, "in pieces", "b", "c")
            is_asked.set()
            assert [(await event(client))["type"] for _ in range(10)][-1] == "done"
        found = await relay.history("in pieces", 6)
    assert [content for _, content, _ in found] == ["a", "a0 a1 ", "b", "b0 b1 ", "c", "c0 c1 "]


async def test_pieces_without_an_end_are_an_answer_when_it_has_been_quiet(relay: World) -> None:
    async def streams(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        await connection.send(json.dumps({"type": "stream", "content": json.loads(frame)["message"] * 2}))

    async with relay.engine(streams):
        async with relay.socket(token=relay.token()) as client:
            for words in ("a", "b"):
                await client.send(question(words, "no end"))
                assert (await event(client))["content"] == words * 2
                await asyncio.sleep(A_WHILE_S)
        found = await relay.history("no end", 4)
    assert [content for _, content, _ in found] == ["a", "aa", "b", "bb"]


async def test_a_question_that_got_no_answer_of_its_own_stands_in_the_history(relay: World) -> None:
    async def answers_once(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if len(engine.frames) == 2:
            await connection.send("an answer to both")
            await connection.close()
        elif len(engine.frames) > 2:
            await connection.send(answer_to(frame))

    async with relay.engine(answers_once):
        async with relay.socket(token=relay.token()) as client:
            await asks_at_once(client, "both", "one", "two")
            assert await text(client) == "an answer to both"
            await assert_silent(client)  # a goodbye behind an answer is no error
            await client.send(question("three", "both"))
            assert (await event(client))["message"] == "answer to three"
        found = await relay.history("both", 5)
    assert [content for _, content, _ in found] == ["one", "an answer to both", "two", "three", "answer to three"]


async def test_a_question_that_failed_does_not_stand_in_the_history(hasty: World) -> None:
    async with hasty.socket(token=hasty.token()) as client:
        await client.send(question("nobody is there", "failed"))
        assert (await event(client))["code"] == "engine_unavailable"
        async with hasty.engine(silent):
            await client.send(question("nobody says a word", "failed"))
            assert (await event(client))["code"] == "engine_timeout"
        async with hasty.engine(echo):
            await client.send(question("well?", "failed"))
            await event(client)
    found = await hasty.history("failed", 2)
    assert [content for _, content, _ in found] == ["well?", "well?"]


async def test_a_question_behind_the_first_answer_fails_when_the_engine_breaks_off(hasty: World) -> None:
    async def answers_the_first(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if len(engine.frames) == 2:
            await connection.send("answer to the first")
            await asyncio.sleep(0.2)
            connection.transport.abort()

    async with hasty.socket(token=hasty.token()) as client:
        async with hasty.engine(answers_the_first) as engine:
            await asks_at_once(client, "breaks", "one", "two")
            assert await text(client) == "answer to the first"
            assert (await event(client))["code"] == "engine_error"
            await assert_silent(client, 1)
            assert len(engine.frames) == 2  # it may have been answered, and is not asked again
        await works_again(hasty, client)
    found = await hasty.history("breaks", 2)
    assert [content for _, content, _ in found] == ["one", "answer to the first"]


async def test_what_was_asked_behind_the_last_word_is_asked_again(hasty: World) -> None:
    async def breaks_off_once(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        match len(engine.frames):
            case 2:
                await connection.send("answer to the first")
            case 3:
                connection.transport.abort()
            case 4:
                await connection.send(answer_to(frame))

    async with hasty.engine(breaks_off_once), hasty.socket(token=hasty.token()) as client:
        await asks_at_once(client, "again", "one", "two")
        assert await text(client) == "answer to the first"
        await client.send(question("three", "again"))
        told = {(found.get("code") or found["message"]) for found in [await event(client) for _ in range(2)]}
        assert told == {"engine_error", "answer to three"}
        await assert_silent(client)
    found = await hasty.history("again", 4)
    assert [content for _, content, _ in found] == ["one", "answer to the first", "three", "answer to three"]
