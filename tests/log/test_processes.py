"""Several processes write one log: none overwrites another, and one that has lost its turn writes no more."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from miva.eventlog import Entry, EventLog, Fence, fenced, since
from miva.in_thread import in_thread
from miva.models import Turn
from miva.protocol.events import Delta, Reset
from tests.log.appender import Appender
from tests.log.conftest import WORKER, Talk, new_talk, new_turn


async def everything(talk: Talk) -> list[Any]:
    found: list[Any] = []
    while page := await since(talk.conversation_id, len(found)):
        assert isinstance(page, list)
        found += page
    assert [at.seq for at in found] == list(range(1, len(found) + 1))
    return found


def appender(address: str, talk: Talk, fence: Fence, name: str, what: object) -> Appender:
    return Appender(address, talk.conversation_id, fence.turn_id, fence.worker, fence.attempt, name, str(what))


async def test_processes_share_a_conversation(log: EventLog, talk: Talk, address: str) -> None:
    fences = [await in_thread(new_turn)(talk.conversation_id) for _ in range(2)]
    with (
        appender(address, talk, fences[0], "a", 150) as one,
        appender(address, talk, fences[1], "b", 150) as other,
    ):
        for process in (one, other):
            assert await asyncio.to_thread(process.says) == "ready"
        for count in range(150):
            await log.append(talk.conversation_id, fenced(talk.fence, [Delta(f"c{count}")], 10.0))
        said = [await asyncio.to_thread(process.all_it_says) for process in (one, other)]
    assert [words[-1] for words in said] == ["over", "over"]
    found = await everything(talk)
    assert len(found) == 450
    for name in "abc":
        mine = [at for at in found if at.event.text[0] == name]
        assert [at.event.text for at in mine] == [f"{name}{count}" for count in range(150)]
        if name != "c":
            assert [str(at.seq) for at in mine] == said["ab".index(name)][:-1]


async def test_who_has_lost_a_turn_writes_no_more(log: EventLog, talk: Talk, address: str) -> None:
    taken = Fence(talk.fence.turn_id, WORKER[::-1], 2)

    def take(head: int) -> Sequence[Entry]:
        Turn.objects.filter(pk=taken.turn_id).update(worker=taken.worker, attempt=2)
        return [Entry(taken.turn_id, 2, Reset(2))]

    with appender(address, talk, talk.fence, "old", 100_000) as process:
        for _ in range(20):
            await asyncio.to_thread(process.says)
        await log.append(talk.conversation_id, take)
        for count in range(20):
            await log.append(talk.conversation_id, fenced(taken, [Delta(f"new{count}")], 10.0))
        assert (await asyncio.to_thread(process.all_it_says))[-2:] == ["fenced", "over"]
    found = await everything(talk)
    at = next(index for index, stored in enumerate(found) if stored.event == Reset(2))
    assert at >= 19
    assert {stored.attempt for stored in found[:at]} == {1}
    assert [stored.event for stored in found[at + 1 :]] == [Delta(f"new{count}") for count in range(20)]


async def test_what_a_killed_process_had_told_is_there(log: EventLog, talk: Talk, address: str) -> None:
    with appender(address, talk, talk.fence, "a", 100_000) as process:
        for _ in range(30):
            await asyncio.to_thread(process.says)
        process.kill()
        told = [word for word in await asyncio.to_thread(process.all_it_says) if word.isdigit()]
    found = await everything(talk)
    assert len(found) >= max(map(int, told), default=29)
    assert [at.event.text for at in found] == [f"a{count}" for count in range(len(found))]
    await log.append(talk.conversation_id, fenced(talk.fence, [Delta("on it goes")], 10.0))


async def test_a_process_that_dies_in_a_transaction_leaves_no_lock(log: EventLog, talk: Talk, address: str) -> None:
    with appender(address, talk, talk.fence, "a", "stall") as process:
        while await asyncio.to_thread(process.says) != "stalls":
            pass
        call = asyncio.create_task(log.append(talk.conversation_id, fenced(talk.fence, [Delta("b")], 10.0)))
        await asyncio.sleep(0.3)
        assert not call.done()
        process.kill()
        await call
    assert [at.event.text for at in await everything(talk)] == ["b"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_process_that_is_stopped_in_a_transaction_holds_up_nobody_for_long(
    log: EventLog, talk: Talk, address: str
) -> None:
    """SQLite has one lock, which such a process keeps until it goes on."""
    other = await in_thread(new_talk)()
    with appender(address, talk, talk.fence, "a", "stall") as process:
        while await asyncio.to_thread(process.says) != "stalls":
            pass
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        call = asyncio.create_task(log.append(talk.conversation_id, fenced(talk.fence, [Delta("b")], 10.0)))
        await log.append(other.conversation_id, fenced(other.fence, [Delta("elsewhere")], 10.0))
        assert not call.done()
        await call
        assert time.monotonic() - began < 25  # the log's patience is 30 s
        os.kill(process.pid, signal.SIGCONT)
        process.tell("go on")
        while (said := await asyncio.to_thread(process.says)) != "over":
            if said == "stalls":  # its commit failed, so the work is called again
                process.tell("go on")
    assert [at.event.text for at in await everything(talk)] == ["b", "a"]
