"""Every way an engine can misbehave ends as the contract says, in each dialect, and later questions work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from tests.engines import Script, ScriptedEngine, answering, echo, scripted_engine, silent
from tests.relay.world import World, assert_silent, event, question, text, until

DIALECTS = ("plain", "query", "v1")


class Asker:
    """Somebody who asks in one dialect and hears how it ends."""

    def __init__(self, world: World, dialect: str) -> None:
        self.dialect = dialect
        self._world = world
        self._asked = 0

    async def __aenter__(self) -> Asker:
        token = self._world.token()
        match self.dialect:
            case "plain":
                self._opening = self._world.socket(token=token, dialect="miva.plain")
            case "query":
                self._opening = self._world.socket(query=f"token={token}")
            case _:
                self._opening = self._world.socket(token=token, dialect="miva.v1")
        self.client: ClientConnection = await self._opening.__aenter__()
        if self.dialect != "plain":
            await event(self.client)
        return self

    async def __aexit__(self, *reason: Any) -> None:
        await self._opening.__aexit__(*reason)

    async def ask(self, words: str) -> str:
        """Asks, and returns the code of the error or the answer."""
        await self.send(words)
        return await self.end()

    async def send(self, words: str) -> None:
        self._asked += 1
        match self.dialect:
            case "plain":
                await self.client.send(question(words, None))
            case "query":
                await self.client.send(json.dumps({"query": words}))
            case _:
                ask = {"type": "ask", "id": str(self._asked), "conversation": "c", "message": words}
                await self.client.send(json.dumps(ask))

    async def end(self) -> str:
        while True:
            found = await event(self.client)
            if self.dialect == "plain":
                return str(found.get("code") or found.get("message") or found.get("response"))
            if found["type"] == "error":
                return str(found["code"])
            if found["type"] == "done":
                return str(found["response" if self.dialect == "query" else "text"])


@pytest.fixture(params=DIALECTS)
async def asker(hasty: World, request: pytest.FixtureRequest) -> Any:
    async with Asker(hasty, request.param) as somebody:
        yield somebody


async def garbage_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00\x01 this is no HTTP at all\r\n\r\n")
    writer.close()


async def not_found(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def well_again(hasty: World, asker: Asker) -> None:
    """A later question of the same socket is answered."""
    async with hasty.engine(echo if asker.dialect == "plain" else answering('{"message": "well"}')):
        assert await asker.ask("well") == "well"


@pytest.mark.parametrize("serve", [garbage_http, not_found, hangs, hangs_up])
async def test_what_does_not_shake_hands_is_unavailable(
    hasty: World, asker: Asker, serve: Callable[..., Awaitable[None]]
) -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", hasty.engine_port):
        assert await asker.ask("q") == "engine_unavailable"
    await well_again(hasty, asker)


async def test_where_nobody_listens_it_is_unavailable(hasty: World, asker: Asker) -> None:
    assert await asker.ask("q") == "engine_unavailable"
    await well_again(hasty, asker)


async def test_redirects_are_not_followed(hasty: World, asker: Asker) -> None:
    async with scripted_engine(echo) as elsewhere:

        async def redirects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(redirects, "127.0.0.1", hasty.engine_port):
            assert await asker.ask("q") == "engine_unavailable"
        assert elsewhere.connections == []
    await well_again(hasty, asker)


async def test_silence_before_the_first_frame_times_out(hasty: World, asker: Asker) -> None:
    async with hasty.engine(silent) as engine:
        assert await asker.ask("q") == "engine_timeout"
        assert len(engine.connections) == 1
    await well_again(hasty, asker)


async def closes(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    await connection.close()


async def breaks_off(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    connection.transport.abort()


@pytest.mark.parametrize("script", [closes, breaks_off])
async def test_a_close_without_a_word_is_tried_once_more(hasty: World, asker: Asker, script: Script) -> None:
    async with hasty.engine(script) as engine:
        assert await asker.ask("q") == "engine_error"
        assert len(engine.connections) == 2
        assert len({frame["message"] for frame in engine.asked}) == 1
    await well_again(hasty, asker)


async def test_the_second_try_may_succeed_and_nobody_notices(hasty: World, asker: Asker) -> None:
    async def second_time(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if len(engine.connections) == 1:
            await connection.close()
        else:
            await connection.send('{"message": "at last"}')

    async with hasty.engine(second_time):
        assert await asker.ask("q") == "at last"


async def sends_binary(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    await connection.send(b"\x00\x01\x02")


async def sends_too_much(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    await connection.send("x" * (20 * 2**20))


async def sends_no_text(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    await connection.send(b"\xff\xfe\xfd", text=True)


async def breaks_the_protocol(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
    connection.transport.write(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("script", [sends_binary, sends_too_much, sends_no_text, breaks_the_protocol])
async def test_a_frame_that_no_engine_may_send_is_an_engine_error(hasty: World, asker: Asker, script: Script) -> None:
    async with hasty.engine(script) as engine:
        assert await asker.ask("q") == "engine_error"
        assert len(engine.connections) == 1  # what it sent was a frame, if a bad one: it is not asked again
    await well_again(hasty, asker)


@pytest.mark.parametrize("dialect", ["query", "v1"])
async def test_a_typed_frame_now_and_then_for_ever_meets_the_total_limit(hasty: World, dialect: str) -> None:
    async def drips(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        while True:
            await connection.send('{"type": "stream", "content": "drip "}')
            await asyncio.sleep(0.4)

    async with Asker(hasty, dialect) as asker:
        async with hasty.engine(drips):
            assert await asker.ask("q") == "engine_timeout"
        await well_again(hasty, asker)


@pytest.mark.parametrize("dialect", ["query", "v1"])
async def test_an_untyped_frame_now_and_then_for_ever_meets_the_total_limit(hasty: World, dialect: str) -> None:
    async def drips(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        while True:
            await connection.send("drip")
            await asyncio.sleep(0.4)

    async with Asker(hasty, dialect) as asker:
        async with hasty.engine(drips):
            assert await asker.ask("q") == "engine_timeout"
        await well_again(hasty, asker)


@pytest.mark.parametrize("dialect", ["query", "v1"])
@pytest.mark.parametrize("how", ["close", "abort", "silence"])
async def test_a_typed_answer_that_stops_in_the_middle(hasty: World, dialect: str, how: str) -> None:
    async def dies(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.send('{"type": "stream", "content": "half an "}')
        if how == "abort":
            await asyncio.sleep(0.1)
            connection.transport.abort()
        elif how == "close":
            await connection.close()

    # A close after at least one frame ends the turn (contract 4); a connection that breaks says nothing.
    expected = {"close": "half an ", "abort": "engine_error", "silence": "engine_timeout"}[how]
    async with Asker(hasty, dialect) as asker:
        async with hasty.engine(dies) as engine:
            assert await asker.ask("q") == expected
            assert len(engine.connections) == 1
        await well_again(hasty, asker)


async def test_plain_frames_before_an_engine_died_stay_and_the_next_question_works(hasty: World) -> None:
    async def dies(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await connection.send("half an ")
        await asyncio.sleep(0.1)
        connection.transport.abort()

    async with hasty.socket() as client:
        async with hasty.engine(dies):
            await client.send(question("q", None))
            assert await text(client) == "half an "
            await assert_silent(client)
        async with hasty.engine(echo) as engine:
            await client.send(question("again", None))
            assert (await event(client))["message"] == "again"
            assert len(engine.frames) == 1


async def test_plain_silence_after_one_frame_is_no_error(hasty: World) -> None:
    async with hasty.engine(answering("one")), hasty.socket() as client:
        await client.send(question("q", None))
        assert await text(client) == "one"
        await assert_silent(client, 3)


async def test_several_plain_questions_that_nobody_answers_end_one_by_one(hasty: World) -> None:
    async with hasty.socket() as client:
        async with hasty.engine(silent):
            for number in range(3):
                await client.send(question(f"{number}", None))
            assert [(await event(client))["code"] for _ in range(3)] == ["engine_timeout"] * 3
        async with hasty.engine(echo):
            await client.send(question("again", None))
            assert (await event(client))["message"] == "again"


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
    ],
)
@pytest.mark.parametrize("dialect", ["query", "v1"])
async def test_typed_and_untyped_engines_are_understood(
    hasty: World, dialect: str, frames: list[str], answer: str
) -> None:
    async with hasty.engine(answering(*frames)), Asker(hasty, dialect) as asker:
        assert await asker.ask("q") == answer


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
        await hangs(reader, writer)

    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(scripted_engine(echo))
        world = World(tmp_path, "uvicorn", MIVA_ENGINE_CONNECT_S="1")
        first_url = f"ws://127.0.0.1:{world.engine_port}/ws/chat"
        world.product._environment["MIVA_ENGINE_URL"] = f"{first_url}, {second.url}"
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


async def test_a_retry_prefers_another_engine(tmp_path: Path) -> None:
    async with scripted_engine(closes) as broken, scripted_engine(answering('{"message": "from the other"}')) as sound:
        world = World(tmp_path, "uvicorn", MIVA_ENGINE_URL=f"{broken.url},{sound.url}")
        await asyncio.to_thread(world.start)
        try:
            for dialect in DIALECTS:
                async with Asker(world, dialect) as asker:
                    assert await asker.ask("q") == "from the other"
        finally:
            await asyncio.to_thread(world.stop)


async def test_a_socket_that_closes_takes_its_plain_engine_connection_with_it(hasty: World) -> None:
    async with hasty.engine(silent) as engine:
        async with hasty.socket() as client:
            await client.send(question("q", None))
            await engine.wait_for_frames(1)
        await asyncio.wait_for(engine.connections[0].wait_closed(), 20)
