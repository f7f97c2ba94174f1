"""Every way an engine can misbehave ends as the contract says, in each dialect, and later questions work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.engines import Script, ScriptedEngine, answering, echo, scripted_engine, silent
from tests.relay.asker import DIALECTS, Asker
from tests.relay.world import World, assert_silent, event, question, text


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


async def test_an_engine_that_refuses_at_first_is_tried_until_it_takes_the_question(hasty: World, asker: Asker) -> None:
    refused: list[Response] = []

    def starts(connection: ServerConnection, _: Request) -> Response | None:
        if refused:
            return None
        refused.append(connection.respond(503, "still starting"))
        return refused[0]

    async with hasty.engine(echo if asker.dialect == "plain" else answering("well"), process_request=starts) as engine:
        assert await asker.ask("well") == "well"
        assert len(engine.frames) == 1
    assert len(refused) == 1


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


STREAMED = '{"type": "stream", "content": "%s"}'


@pytest.mark.parametrize(
    ("dialect", "piece"), [("query", STREAMED), ("v1", STREAMED), ("v1", "%s")], ids=["query", "v1", "v1, untyped"]
)
async def test_an_answer_without_an_end_is_stopped_where_it_is_too_long(relay: World, dialect: str, piece: str) -> None:
    # 20 MB are no matter of three seconds on a busy machine: the usual patience.
    megabyte = piece % ("word " * 200_000)
    sent: list[int] = []
    talks: list[asyncio.Task[None]] = []

    async def talk(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in range(100):
                await connection.send(megabyte)
                sent.append(number)

    async def talks_for_ever(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if "cancel" not in frame:
            talks.append(asyncio.create_task(talk(connection)))

    async with Asker(relay, dialect) as asker:
        async with relay.engine(talks_for_ever) as engine:
            heard = 0
            await asker.send("q")
            while (found := await event(asker.client))["type"] != "error":
                heard += len(found.get("content") or found.get("text") or found.get("frame") or "")
            assert found["code"] == "engine_error"
            assert "too long" in found["message"]
            assert 20_000_000 < heard <= 21_000_000  # what was said so far stays
            asked, cancelled = await engine.wait_for_frames(2)
            assert cancelled == {"type": "cancel", "unique_id": asked["unique_id"]}
            await asyncio.gather(*talks)
        assert len(sent) < 50
        await well_again(relay, asker)


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
            # Where words can be taken back (`reset`), what broke is asked again, three times in all.
            assert len(engine.connections) == (3 if (dialect, how) == ("v1", "abort") else 1)
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


async def test_a_socket_that_closes_takes_its_plain_engine_connection_with_it(hasty: World) -> None:
    async with hasty.engine(silent) as engine:
        async with hasty.socket() as client:
            await client.send(question("q", None))
            await engine.wait_for_frames(1)
        await asyncio.wait_for(engine.connections[0].wait_closed(), 20)
