"""Questions about a document that is still being sent: answered from what came before them, and first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from miva.engine import intake as intake_module
from miva.engine.intake import Intake
from miva.engine.stores.base import Bookmark

PATIENCE_S = 30
SENTENCE = "The keeper of page {0} entered a ship into the register on that day. "


@asynccontextmanager
async def indexing(pages: int) -> AsyncIterator[Intake]:
    """A document of so many pages, being indexed; it ends with the block."""
    with ThreadPoolExecutor(1) as pool:
        intake = Intake(pool, pages)

        async def report(done: int, total: int) -> None:
            assert 0 < done <= total

        running = asyncio.create_task(intake.run(report))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield intake
                intake.end()
                await running
        finally:
            running.cancel()
            await asyncio.wait((running,))
        assert (intake.done, intake.whole) == (pages, True)


def send(intake: Intake, numbers: Sequence[int]) -> None:
    for number in numbers:
        intake.add(number, SENTENCE.format(number) * 20)


async def test_who_asks_waits_for_the_pages_before_and_for_none_that_come_after() -> None:
    async with indexing(400) as intake:
        send(intake, range(1, 4))
        with intake.answering():
            send(intake, range(4, 401))
            await intake.settled(PATIENCE_S)
            assert intake.done == 3
            intake.end()
            await intake.settled(PATIENCE_S)  # also where the last page came meanwhile
            assert intake.done == 3


async def test_who_asks_about_one_that_has_ended_waits_for_all_of_it() -> None:
    async with indexing(60) as intake:
        send(intake, range(1, 61))
        intake.end([Bookmark(1, "Register", 1)])
        with intake.answering():
            await intake.settled(PATIENCE_S)
        assert intake.whole
        assert intake.index.outline()[0].title == "Register"
        assert intake.chunks == intake.index.chunk_count() > 0


async def test_waiting_for_pages_has_an_end() -> None:
    with ThreadPoolExecutor(1) as pool:
        intake = Intake(pool, 5)  # and nobody runs it
        send(intake, [1])
        with intake.answering():
            await asyncio.wait_for(intake.settled(0.05), PATIENCE_S)
        assert intake.done == 0


async def test_no_more_is_indexed_while_a_question_is_answered_but_what_another_one_is_asked_of() -> None:
    async with indexing(120) as intake:
        send(intake, [1])
        with intake.answering():
            await intake.settled(PATIENCE_S)
            send(intake, range(2, 11))
            await asyncio.sleep(0.2)
            assert intake.done == 1
            with intake.answering():
                send(intake, range(11, 121))
                await intake.settled(PATIENCE_S)
                assert intake.done == 10
            await asyncio.sleep(0.2)
            assert intake.done == 10
        with intake.answering():
            await intake.settled(PATIENCE_S)
            assert intake.done == 120


async def test_many_questions_hold_a_document_up_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "QUESTIONS_FIRST_S", 0.2)
    async with indexing(120) as intake:
        with intake.answering():
            send(intake, range(1, 121))
            began = time.monotonic()
            async with asyncio.timeout(PATIENCE_S):
                while intake.done < 120:
                    await asyncio.sleep(0.01)
            assert time.monotonic() - began >= 0.19
