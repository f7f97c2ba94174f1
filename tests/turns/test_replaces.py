"""A question edited or asked again: what it replaces leaves the history, and stops where it still ran."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import answering, scripted_engine
from tests.processes import free_port
from tests.product import Product
from tests.turns.teller import Teller
from tests.turns.workers import ask, ended, event, messages, open_socket, rows, until, workers


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Product]:
    with workers(Path(tmp_path_factory.mktemp("replaces")), 1, f"ws://127.0.0.1:{port}/ws/chat") as (product,):
        yield product


async def test_a_replaced_turn_and_those_after_it_leave_the_history(only: Product, port: int) -> None:
    teller = Teller(words=3)
    teller.go.set()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        turns = []
        for number in range(3):
            await socket.send(ask(number, "edited"))
            turns.append((await until(socket, "done"))["turn"])
        await socket.send(ask("1 anew", "edited", replaces=turns[1]))
        await until(socket, "done")
        said = [text for role, text in messages(only, "edited") if role == "user"]
        assert said == ["0?", "1 anew?"]
        assert [message["content"] for message in teller.questions[-1]["history"]] == ["0?", teller.text]
        await socket.send(ask("0 anew", "edited", replaces=turns[0]))
        await until(socket, "done")
        assert [text for role, text in messages(only, "edited") if role == "user"] == ["0 anew?"]
        assert rows(only, "SELECT title FROM miva_conversation WHERE label = 'edited'") == [("0 anew?",)]
    await ended(only, "edited", turns=5)


async def test_what_runs_and_waits_is_stopped_by_what_replaces_it(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        for number in range(3):
            await socket.send(ask(number, "running"))
        turns = [(await until(socket, "accepted"))["turn"] for _ in range(3)]
        await teller.was_asked(1)
        await socket.send(ask("anew", "running", replaces=turns[0]))
        assert {(await until(socket, "cancelled"))["turn"] for _ in range(3)} == set(turns)
        accepted = await until(socket, "accepted")
        assert accepted["position"] == 0
        await teller.was_cancelled(1)
        await asyncio.wait_for(teller.connections[0].wait_closed(), 30)
        teller.go.set()
        assert (await until(socket, "done"))["turn"] == accepted["turn"]
        assert messages(only, "running") == [("user", "anew?"), ("assistant", teller.text)]
    await ended(only, "running", turns=4)
    assert [asked["message"] for asked in teller.questions] == ["0?", "anew?"]


async def test_only_a_turn_of_the_same_conversation_can_be_replaced(only: Product, port: int) -> None:
    teller = Teller(words=1)
    teller.go.set()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await until(socket, "hello")
        await socket.send(ask(1, "one"))
        turn = (await until(socket, "done"))["turn"]
        for number, replaced in enumerate((turn, "nothing", "00000000-0000-0000-0000-000000000000")):
            await socket.send(ask(f"{number}", "another", replaces=replaced))
            found = await event(socket)
            assert (found["type"], found["code"], found["id"]) == ("error", "not_found", f"another {number}")
        assert len(messages(only, "one")) == 2
        assert len(teller.questions) == 1


async def test_what_an_engine_says_late_to_a_replaced_question_is_not_told(only: Product, port: int) -> None:
    async with (
        scripted_engine(answering("words"), port=port) as engine,
        open_socket(only.socket_url, "miva.v1") as socket,
    ):
        await socket.send(ask(1, "late"))
        turn = (await until(socket, "done"))["turn"]
        await engine.connections[0].send("late words")
        assert (await until(socket, "reply"))["late"]
        await socket.send(ask(2, "late", replaces=turn))
        await until(socket, "done")
        await engine.connections[0].send("too late")
        await engine.connections[1].send("late")
        assert (await until(socket, "reply"))["frame"] == "late"
    log = await ended(only, "late", turns=2)
    assert [found.body["frame"] for found in log if found.kind == "reply"] == ["words", "late words", "words", "late"]
    assert messages(only, "late") == [("user", "2?"), ("assistant", "words\n\nlate")]
