"""What engines say is understood, typed or not; turns, cancelling, and several engines one of which is dead."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, answering, echo, scripted_engine
from tests.pdfs import make_pdf
from tests.relay.asker import DIALECTS, Asker
from tests.relay.world import World, event, file, question, until


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        (['{"type": "thinking"}', '{"type": "stream", "content": "A"}', '{"type": "done", "response": "All"}'], "All"),
        (['{"type": "stream", "content": "A "}', '{"type": "stream", "content": "B"}', '{"type": "done"}'], "A B"),
        (['{"type": "done", "response": ""}'], ""),
        (['{"type": "done"}'], ""),
        (['{"type": "error", "message": "out of paper"}'], "engine_error"),
        (['{"type": "stream", "content": "A"}', '{"type": "error"}'], "engine_error"),
        (['{"type": "progress", "stage": "index", "done": 1, "total": 2}', '{"type": "done", "response": "x"}'], "x"),
        (["just words"], "just words"),
        (['{"response": "one"}', "two", '{"type": "odd", "text": "three"}'], "one\n\ntwo\n\nthree"),
        (['{"type": "stream", "content": 5}'], '{"type": "stream", "content": 5}'),
        (['{"type": "stream", "content": "A"}', "untyped"], "A"),
        (["", "\u2028x"], "\n\n\u2028x"),
        (['{"type": "hello", "message": "hello to you"}'], "hello to you"),
        (['{"type": "need", "documents": ["x"]}'], '{"type": "need", "documents": ["x"]}'),
        (['{"type": "indexed", "id": "x"}', '{"message": "y"}'], '{"type": "indexed", "id": "x"}\n\ny'),
    ],
)
@pytest.mark.parametrize("dialect", ["query", "v1"])
async def test_typed_and_untyped_engines_are_understood(
    hasty: World, dialect: str, frames: list[str], answer: str
) -> None:
    async with hasty.engine(answering(*frames)), Asker(hasty, dialect) as asker:
        assert await asker.ask("q") == answer


async def test_pieces_that_come_at_once_are_streams_of_their_own_to_a_query_client(hasty: World) -> None:
    pieces = ["A web ", *(f"{number} " for number in range(200)), "framework."]
    frames = [json.dumps({"type": "stream", "content": piece}) for piece in pieces]
    async with (
        hasty.engine(answering(*frames, '{"type": "done"}')),
        hasty.socket(query=f"token={hasty.token()}") as client,
    ):
        await client.send('{"query": "q"}')
        told: list[dict[str, Any]] = []
        while not told or told[-1]["type"] != "done":
            told.append(await event(client))
    assert [frame["content"] for frame in told if frame["type"] == "stream"] == pieces
    assert told[-1]["response"] == "".join(pieces)


async def test_whole_replies_are_streamed_as_the_answer_has_them(hasty: World) -> None:
    async with (
        hasty.engine(answering('{"response": "It says this."}', "And  that.")),
        hasty.socket(query=f"token={hasty.token()}") as client,
    ):
        for number in range(2):  # also where the socket was told an answer before
            await client.send(json.dumps({"query": f"q{number}"}))
            streamed = ""
            while (told := await event(client))["type"] != "done":
                streamed += told.get("content", "")
            assert streamed == told["response"] == "It says this.\n\nAnd  that."


async def test_nobody_is_told_of_thinking_behind_a_reply(hasty: World) -> None:
    frames = ("r", '{"type": "done", "response": "fin"}')
    async with (
        hasty.engine(answering(*frames)),
        hasty.socket(token=hasty.token(), dialect="miva.v1") as client,
    ):
        await client.send('{"type": "ask", "id": "q", "message": "q"}')
        await until(client, "accepted")
        assert [(await event(client))["type"] for _ in range(2)] == ["reply", "done"]


async def test_an_answer_is_told_as_it_is_stored(hasty: World) -> None:
    frames = [json.dumps({"type": "stream", "content": text}) for text in ("A\0", "\0", "\ud800 B")]
    async with (
        hasty.engine(answering(*frames, '{"type": "done"}')),
        hasty.socket(token=hasty.token(), dialect="miva.v1") as client,
    ):
        await client.send('{"type": "ask", "id": "q", "message": "q"}')
        text = ""
        while (told := await event(client))["type"] != "done":
            text += told["text"] if told["type"] == "delta" else ""
        assert text == told["text"] == "A? B"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_engine_that_takes_only_who_offers_its_subprotocol_is_asked(hasty: World, dialect: str) -> None:
    hello = json.dumps({"type": "hello", "name": "strict", "models": [], "embedding_dim": 0})
    done = '{"type": "done", "response": "taken"}'
    async with (
        hasty.engine(answering(done), subprotocols=["miva.engine.v1"], greeting=hello) as engine,
        Asker(hasty, dialect) as asker,
    ):
        for _ in range(2):
            assert await asker.ask("q") in ("taken", done)
        assert [frame["message"] for frame in engine.asked] == ["q", "q"]


async def test_what_the_engine_takes_with_a_question_counts_as_taken(hasty: World) -> None:
    async def take(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        asked = json.loads(frame)
        if asked["type"] == "chat":
            [id] = asked["documents"]
            await connection.send(json.dumps({"type": "need", "documents": [id]}))
        elif asked["type"] == "document_end":
            for told in ({"type": "indexed", "id": asked["id"], "chunks": 3}, {"type": "done", "response": "read"}):
                await connection.send(json.dumps(told))

    hello = json.dumps({"type": "hello", "name": "keeper", "models": [], "embedding_dim": 0})
    token = hasty.token()
    asked = {"type": "ask", "id": "q", "message": "q", "files": [file(make_pdf(["Alpha"]))]}
    async with (
        hasty.engine(take, subprotocols=["miva.engine.v1"], greeting=hello),
        hasty.socket(token=token, dialect="miva.v1") as client,
    ):
        await client.send(json.dumps(asked))
        await until(client, "done")
    request = urllib.request.Request(f"{hasty.product.url}api/document/", headers={"Authorization": f"Token {token}"})
    with urllib.request.urlopen(request) as listed:
        assert [document["total_chunks"] for document in json.load(listed)] == [3]


async def test_an_engines_own_words_about_its_failure_reach_the_client(hasty: World) -> None:
    async with (
        hasty.engine(answering('{"type": "error", "message": "out of paper"}')),
        hasty.socket(token=hasty.token(), dialect="miva.v1") as client,
    ):
        await client.send('{"type": "ask", "id": "q", "message": "q"}')
        while (found := await event(client))["type"] != "error":
            pass
        assert found["message"] == "out of paper"


async def test_late_replies_of_an_untyped_engine_are_told_and_kept(hasty: World) -> None:
    async with (
        hasty.engine(answering("first")) as engine,
        hasty.socket(token=hasty.token(), dialect="miva.v1") as client,
    ):
        ask = {"type": "ask", "id": "q", "conversation": "late ones", "message": "q"}
        await client.send(json.dumps(ask))
        done = await until(client, "done")
        for words in ("second", '{"response": "third"}'):
            await engine.connections[0].send(words)
            late = await event(client)
            assert (late["type"], late["frame"], late["late"]) == ("reply", words, True)
        assert late["seq"] == done["seq"] + 2
        assert hasty.messages("late ones")[-1][1] == "first\n\nsecond\n\nthird"
        await client.send(json.dumps(ask | {"id": "r"}))  # and they hold up no later question
        assert (await until(client, "done"))["text"] == "first"


async def test_a_cancelled_answer_is_told_to_the_engine(hasty: World) -> None:
    async def slowly(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if json.loads(frame)["type"] == "chat":
            await connection.send('{"type": "stream", "content": "I will "}')

    async with hasty.engine(slowly) as engine, hasty.socket(token=hasty.token(), dialect="miva.v1") as client:
        await client.send('{"type": "ask", "id": "q", "message": "q"}')
        turn = (await until(client, "delta"))["turn"]
        await client.send(json.dumps({"type": "cancel", "turn": turn}))
        assert (await until(client, "cancelled"))["turn"] == turn
        asked, cancelled = await engine.wait_for_frames(2)
        assert cancelled == {"type": "cancel", "unique_id": asked["unique_id"]}
        await asyncio.wait_for(engine.connections[0].wait_closed(), 20)
        await client.send(json.dumps({"type": "cancel", "turn": turn}))  # a finished one: nothing happens
        await client.send('{"type": "ping"}')
        assert (await event(client))["type"] == "pong"


async def test_a_turn_has_one_connection_of_its_own(hasty: World) -> None:
    async with (
        hasty.engine(answering('{"type": "done", "response": "x"}')) as engine,
        Asker(hasty, "v1") as asker,
    ):
        for number in range(3):
            assert await asker.ask(f"{number}") == "x"
        assert len(engine.connections) == 3
        assert len({frame["unique_id"] for frame in engine.asked}) == 3
        assert engine.asked[2]["history"] == [
            {"role": "user", "content": "0"},
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "x"},
        ]


async def test_a_dead_engine_is_passed_over_and_comes_back(tmp_path: Path) -> None:
    """Two addresses, of which the first hangs in every handshake: after three failures it is passed over a while."""
    tried = 0

    async def hangs_and_counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        await reader.read()
        writer.close()

    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(scripted_engine(echo))
        world = World(tmp_path, "uvicorn", MIVA_ENGINE_CONNECT_S="1")
        first_url = f"ws://127.0.0.1:{world.engine_port}/ws/chat"
        world.product.settings["MIVA_ENGINE_URL"] = f"{first_url}, {second.url}"
        stack.callback(world.stop)
        await asyncio.to_thread(world.start)

        async def ask(words: str) -> None:
            async with world.socket() as client:
                await client.send(question(words))
                assert (await event(client))["message"] == words

        async with await asyncio.start_server(hangs_and_counts, "127.0.0.1", world.engine_port):
            for number in range(8):
                await ask(f"{number}")
        assert len(second.frames) == 8
        # Three failures open the breaker; the pause of two seconds may have let it through once more.
        assert 3 <= tried <= 4
        async with world.engine(echo) as first:
            async with asyncio.timeout(60):
                while not first.frames:
                    await ask("back?")
                    await asyncio.sleep(0.2)
        world.assert_calm()


async def closes_at_once(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    await connection.close()


async def test_a_retry_prefers_another_engine(tmp_path: Path) -> None:
    words = '{"message": "from the other"}'
    async with scripted_engine(closes_at_once) as broken, scripted_engine(answering(words)) as sound:
        world = World(tmp_path, "uvicorn", MIVA_ENGINE_URL=f"{broken.url},{sound.url}")
        await asyncio.to_thread(world.start)
        try:
            for dialect in DIALECTS:
                async with Asker(world, dialect) as asker:
                    assert await asker.ask("q") == "from the other"
        finally:
            await asyncio.to_thread(world.stop)
