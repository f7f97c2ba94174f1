"""What is gathered for the history: a flood waits for the database, and nobody for one that does not answer."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from miva import answer_recorder
from miva.answer_recorder import AnswerRecorder
from miva.in_thread import in_thread

PIECE = ["x" * 1_000] * 100


class Database:
    """Stands in for the history: stores nothing while it is away."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.stored = 0

    def store(self, _: Any, taken: Any) -> None:
        assert self.is_there.wait(30)
        self.stored += sum(len(frame) for one in taken for frame in one.frames)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    database = Database()
    monkeypatch.setattr(answer_recorder, "_store", database.store)
    monkeypatch.setattr(answer_recorder, "MOST_HELD", 100_000)
    monkeypatch.setattr(answer_recorder, "MOST_DELAYED", 200_000)
    yield database
    database.is_there.set()
    assert (AnswerRecorder._held, AnswerRecorder._delayed, AnswerRecorder._waiting) == (0, 0, set())


class Asked(AnswerRecorder):
    """A recorder with a question, about which an engine may talk."""

    def __init__(self) -> None:
        super().__init__(uuid4())
        self._exchange = self.asked(uuid4(), "What?", [])

    def hears(self, frames: Sequence[str]) -> None:
        self.heard(self._exchange, frames)


async def test_a_flood_waits_until_its_beginning_is_stored(database: Database) -> None:
    recorder = Asked()
    loop = asyncio.get_running_loop()
    loop.call_later(0.3, database.is_there.set)
    began = loop.time()
    for _ in range(8):
        recorder.hears(PIECE)
        await recorder.wait_for_room()
    assert loop.time() - began >= 0.25
    await recorder.close()
    assert database.stored == 800_000


async def test_a_short_answer_does_not_wait_for_the_flood_of_others(database: Database) -> None:
    flooding, short = Asked(), Asked()
    for _ in range(4):
        flooding.hears(PIECE)
    waiting = asyncio.create_task(flooding.wait_for_room())
    short.hears(["It is Alpha."])
    async with asyncio.timeout(1):
        await short.wait_for_room()
    assert not waiting.done()
    database.is_there.set()
    await waiting
    await asyncio.gather(flooding.close(), short.close())
    assert database.stored == 400_012


async def test_a_database_that_does_not_answer_holds_an_answer_up_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_recorder, "PATIENCE_S", 0.2)
    first, second = Asked(), Asked()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(9):
        for recorder in (first, second):
            recorder.hears(PIECE)
            await recorder.wait_for_room()
    assert loop.time() - began < 2 * 0.2 + 1
    database.is_there.set()
    await asyncio.gather(first.close(), second.close())
    assert database.stored < 500_000  # what came meanwhile was relayed only
    later = Asked()
    later.hears(PIECE)
    await later.wait_for_room()
    await later.close()
    assert not AnswerRecorder._is_late


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_what_is_stored_gives_way_to_what_is_relayed() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    stored = await in_thread(_priority, answer_recorder._own_thread)()
    assert stored == max(own, answer_recorder._NICE)
    assert _priority() == own


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
