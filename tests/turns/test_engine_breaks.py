"""An engine that dies in the middle of an answer is asked again, and the client is told to throw away what it had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, scripted_engine
from tests.processes import free_port
from tests.product import PATIENCE_S, Product
from tests.reading.streams import token_of_somebody
from tests.turns.teller import Teller
from tests.turns.workers import ask, ended, kinds, messages, open_socket, rows, until, workers


class Breaks:
    """An engine that breaks off in the middle of its first answers."""

    def __init__(self, times: int, stray: str = "") -> None:
        """`stray` is a frame that it sends before its answers."""
        self.times = times
        self.stray = stray
        self.asked = 0

    async def __call__(self, _: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if json.loads(frame)["type"] != "chat":
            return
        self.asked += 1
        if self.stray:
            await connection.send(self.stray)
        await connection.send(json.dumps({"type": "stream", "content": f"{self.asked} and "}))
        if self.asked <= self.times:
            await asyncio.sleep(0.1)
            connection.transport.abort()
        else:
            await connection.send(json.dumps({"type": "stream", "content": "so on"}))
            await connection.send(json.dumps({"type": "done"}))


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Product]:
    with workers(Path(tmp_path_factory.mktemp("breaks")), 1, f"ws://127.0.0.1:{port}/ws/chat") as (product,):
        yield product


async def test_it_is_asked_again_and_the_answer_is_the_last_attempts(only: Product, port: int) -> None:
    script = Breaks(times=2)
    async with scripted_engine(script, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "twice"))
        assert [(await until(socket, "reset"))["attempt"] for _ in range(2)] == [2, 3]
        assert (await until(socket, "done"))["text"] == "3 and so on"
    log = await ended(only, "twice")
    assert kinds(log) == ["accepted", "thinking", *["delta", "reset"] * 2, "delta", "done"]
    assert messages(only, "twice") == [("user", "1?"), ("assistant", "3 and so on")]


async def test_an_engine_that_is_started_again_is_waited_for(only: Product, port: int) -> None:
    teller = Teller(words=3, held_after=1)
    async with open_socket(only.socket_url, "miva.v1") as socket:
        async with scripted_engine(teller, port=port):
            await socket.send(ask(1, "away"))
            await until(socket, "delta")
            teller.connections[0].transport.abort()
        await until(socket, "reset")
        await asyncio.sleep(0.7)
        teller.go.set()
        async with scripted_engine(teller, port=port):
            assert (await until(socket, "done", "error"))["text"] == teller.text
    assert kinds(await ended(only, "away")) == ["accepted", "thinking", "delta", "reset", "delta", "done"]


async def test_a_stray_frame_before_the_pieces_does_not_make_what_broke_off_whole(only: Product, port: int) -> None:
    script = Breaks(times=1, stray='{"type": "stream", "contents": "%%"}')
    async with scripted_engine(script, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "stray"))
        assert (await until(socket, "done", "error"))["text"] == "2 and so on"
    assert kinds(await ended(only, "stray"))[1:-1] == ["reply", "delta", "reset", "reply", "delta"]


async def test_after_three_attempts_it_fails(only: Product, port: int) -> None:
    script = Breaks(times=9)
    async with scripted_engine(script, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "for ever"))
        assert (await until(socket, "error"))["code"] == "engine_error"
    assert script.asked == 3
    assert kinds(await ended(only, "for ever"))[-1] == "failed"
    assert messages(only, "for ever") == [("user", "1?")]


async def test_a_dialect_that_cannot_take_words_back_fails_at_once(only: Product, port: int) -> None:
    script = Breaks(times=9)
    token = await token_of_somebody(only)
    async with scripted_engine(script, port=port), open_socket(f"{only.socket_url}?token={token}") as socket:
        await socket.send(json.dumps({"query": "Who?"}))
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            while not found or found[-1]["type"] != "error":
                found.append(json.loads(await socket.recv()))
        assert [frame["type"] for frame in found] == ["welcome", "thinking", "stream", "error"]
        assert found[-1]["code"] == "engine_error"
    assert script.asked == 1


async def test_a_question_is_of_the_moment_when_it_was_asked(only: Product, port: int) -> None:
    async def slow(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        await asyncio.sleep(1)
        await connection.send('{"type": "done", "response": "at last"}')

    async with scripted_engine(slow, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "moments"))
        await until(socket, "done", "error")
    query = (
        "SELECT m.created_at, t.created_at FROM miva_message AS m JOIN miva_turn AS t ON t.id = m.turn_id"
        " WHERE t.client_id = 'moments 1' ORDER BY m.id"
    )
    [(question, asked), (answer, _)] = rows(only, query)
    assert question == asked < answer
