"""Appending to the event log: numbers, fences, works that fail, commits that are shared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from miva.eventlog import Entry, EventLog, Fence, FencedOff, Work, fenced, heads, since, told, topic
from miva.hub import hub
from miva.in_thread import in_thread
from miva.models import Conversation, LogEvent, Message, Turn
from miva.protocol.errors import Busy, NotFound
from miva.protocol.events import Delta, Gap, Pong, Thinking
from miva.turn_rows import LINK
from tests.log.conftest import WORKER, Talk, new_talk, new_turn

LEASE_S = 10.0


def saying(fence: Fence, *texts: str, lease_s: float = LEASE_S) -> Work:
    return fenced(fence, [Delta(text) for text in texts], lease_s)


async def texts(conversation_id: UUID, after: int = 0) -> list[str]:
    found = await since(conversation_id, after)
    assert isinstance(found, list)
    return [at.event.text for at in found if isinstance(at.event, Delta)]


class Held:
    """A work that keeps the writer in its transaction until it is let go, so that others gather behind it."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, head: int) -> Sequence[Entry]:
        self.has_begun.set()
        assert self.may_end.wait(20)
        return []


async def hold(log: EventLog, conversation_id: UUID) -> tuple[Held, asyncio.Task[Any]]:
    held = Held()
    task = asyncio.create_task(log.append(conversation_id, held))
    await asyncio.to_thread(held.has_begun.wait, 20)
    return held, task


async def test_events_are_numbered_from_one_without_gaps(log: EventLog, talk: Talk) -> None:
    first = await log.append(talk.conversation_id, saying(talk.fence, "a", "b"))
    second = await log.append(talk.conversation_id, saying(talk.fence, "c"))
    assert [at.seq for at in first + second] == [1, 2, 3]
    assert await since(talk.conversation_id, 0) == first + second
    assert await since(talk.conversation_id, 2) == second
    assert await since(talk.conversation_id, 3) == []
    assert await heads([talk.conversation_id, uuid4()]) == {talk.conversation_id: 3}


async def test_a_work_gets_the_head_and_shares_its_commit_with_other_rows(log: EventLog, talk: Talk) -> None:
    await log.append(talk.conversation_id, saying(talk.fence, "a", "b"))
    seen: list[int] = []

    def work(head: int) -> Sequence[Entry]:
        seen.append(head)
        assert LogEvent.objects.filter(conversation_id=talk.conversation_id).count() == head
        Message.objects.create(conversation_id=talk.conversation_id, role="user", content="?")
        return [Entry(talk.fence.turn_id, 1, Thinking())]

    [stored] = await log.append(talk.conversation_id, work)
    assert (seen, stored.seq, stored.event) == ([2], 3, Thinking())
    assert await in_thread(Message.objects.filter(conversation_id=talk.conversation_id).count)() == 1


@pytest.mark.parametrize("shares", [False, True])
async def test_a_work_that_raises_undoes_itself_and_nothing_else(log: EventLog, talk: Talk, shares: bool) -> None:
    other = await in_thread(new_talk)()

    def work(head: int) -> Sequence[Entry]:
        Message.objects.create(conversation_id=talk.conversation_id, role="user", content="?")
        raise Busy

    def wrong_event(head: int) -> Sequence[Entry]:
        Message.objects.create(conversation_id=talk.conversation_id, role="user", content="?")
        return [Entry(talk.fence.turn_id, 1, Delta("never")), Entry(talk.fence.turn_id, 1, Pong())]

    held, task = await hold(log, talk.conversation_id) if shares else (None, None)
    calls: list[asyncio.Future[Any]] = []
    for id, one in (
        (talk.conversation_id, saying(talk.fence, "a")),
        (talk.conversation_id, work),
        (other.conversation_id, saying(other.fence, "x")),
        (talk.conversation_id, wrong_event),
        (talk.conversation_id, saying(talk.fence, "b")),
    ):
        calls.append(asyncio.ensure_future(log.append(id, one)))
        await asyncio.sleep(0 if shares else 0.1)
    if held is not None and task is not None:
        held.may_end.set()
        await task
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[1], Busy)
    assert isinstance(results[3], TypeError)
    assert [at.seq for result in (results[0], results[4], results[2]) for at in result] == [1, 2, 1]  # type: ignore[union-attr]
    assert await texts(talk.conversation_id) == ["a", "b"]
    assert await in_thread(Message.objects.count)() == 0
    if shares:
        assert log.commits == 2


async def test_what_arrives_during_a_commit_shares_the_next(log: EventLog, talk: Talk) -> None:
    others = [await in_thread(new_talk)() for _ in range(5)]
    held, task = await hold(log, talk.conversation_id)
    calls = [
        asyncio.create_task(log.append(one.conversation_id, saying(one.fence, f"{count}")))
        for count in range(20)
        for one in others
    ]
    await asyncio.sleep(0.05)
    held.may_end.set()
    await asyncio.gather(task, *calls)
    assert log.commits == 2
    for one in others:
        assert await texts(one.conversation_id) == [f"{count}" for count in range(20)]


@pytest.mark.parametrize("wrong", ["worker", "attempt", "state", "turn"])
@pytest.mark.parametrize("beside", [False, True])
async def test_a_fence_that_is_not_held_lets_nothing_through(
    log: EventLog, talk: Talk, wrong: str, beside: bool
) -> None:
    fence = {
        "worker": Fence(talk.fence.turn_id, "f" * 32, 1),
        "attempt": Fence(talk.fence.turn_id, WORKER, 2),
        "turn": Fence(uuid4(), WORKER, 1),
    }.get(wrong, talk.fence)
    if wrong == "state":
        await in_thread(Turn.objects.filter(pk=fence.turn_id).update)(state=Turn.State.DONE)
    before = await in_thread(_lease)(talk.fence)
    if beside:  # another kind of work in the same commit, so that fences are checked one by one
        held, task = await hold(log, talk.conversation_id)
        other = asyncio.create_task(log.append(talk.conversation_id, lambda head: []))
        call = asyncio.create_task(log.append(talk.conversation_id, saying(fence, "late")))
        await asyncio.sleep(0.05)
        held.may_end.set()
        await asyncio.gather(task, other)
        with pytest.raises(FencedOff):
            await call
    else:
        with pytest.raises(FencedOff):
            await log.append(talk.conversation_id, saying(fence, "late"))
    assert await since(talk.conversation_id, 0) == []
    assert await in_thread(_lease)(talk.fence) == before


async def test_a_work_that_takes_the_turn_fences_off_what_comes_behind_it(log: EventLog, talk: Talk) -> None:
    def take(head: int) -> Sequence[Entry]:
        Turn.objects.filter(pk=talk.fence.turn_id).update(worker="e" * 32, attempt=2)
        return []

    held, task = await hold(log, talk.conversation_id)
    calls = [
        asyncio.create_task(log.append(talk.conversation_id, work))
        for work in (saying(talk.fence, "mine"), take, saying(talk.fence, "too late"))
    ]
    await asyncio.sleep(0.05)
    held.may_end.set()
    results = await asyncio.gather(task, *calls, return_exceptions=True)
    assert isinstance(results[3], FencedOff)
    assert log.commits == 2
    assert await texts(talk.conversation_id) == ["mine"]


def _lease(fence: Fence) -> Any:
    return Turn.objects.values_list("lease_until", flat=True).get(pk=fence.turn_id)


async def test_an_event_renews_the_lease(log: EventLog, talk: Talk) -> None:
    await log.append(talk.conversation_id, saying(talk.fence, "a", lease_s=100))
    first = await in_thread(_lease)(talk.fence)
    assert timedelta(seconds=90) < first - timezone.now() < timedelta(seconds=110)
    await log.append(talk.conversation_id, saying(talk.fence, "b", lease_s=100))
    assert await in_thread(_lease)(talk.fence) == first, "a fresh lease is left alone"
    await in_thread(Turn.objects.filter(pk=talk.fence.turn_id).update)(
        lease_until=timezone.now() + timedelta(seconds=70)
    )
    await log.append(talk.conversation_id, saying(talk.fence, "c", lease_s=100))
    assert await in_thread(_lease)(talk.fence) > first


async def test_a_conversation_that_is_gone_is_not_found(log: EventLog, talk: Talk) -> None:
    with pytest.raises(NotFound):
        await log.append(uuid4(), lambda head: [])
    await log.append(talk.conversation_id, saying(talk.fence, "a"))
    await in_thread(Conversation.objects.filter(pk=talk.conversation_id).delete)()
    with pytest.raises(NotFound):
        await log.append(talk.conversation_id, saying(talk.fence, "b"))
    with pytest.raises(NotFound):
        await since(talk.conversation_id, 0)
    assert await in_thread(LogEvent.objects.count)() == 0


async def test_a_check_at_the_commit_itself_reaches_its_culprit_alone(log: EventLog, talk: Talk) -> None:
    """Foreign keys are checked when a transaction ends, by then nobody knows whose work was wrong."""
    held, task = await hold(log, talk.conversation_id)

    def wrong(head: int) -> Sequence[Entry]:
        LINK.objects.create(turn_id=talk.fence.turn_id, document_id=uuid4())
        return [Entry(talk.fence.turn_id, 1, Delta("wrong"))]

    calls = [
        asyncio.create_task(log.append(talk.conversation_id, work))
        for work in (saying(talk.fence, "a"), wrong, saying(talk.fence, "b"))
    ]
    await asyncio.sleep(0.05)
    held.may_end.set()
    results = await asyncio.gather(task, *calls, return_exceptions=True)
    assert [isinstance(result, IntegrityError) for result in results] == [False, False, True, False]
    assert await texts(talk.conversation_id) == ["a", "b"]


async def test_a_work_may_catch_what_the_database_refuses(log: EventLog, talk: Talk) -> None:
    turn = await in_thread(Turn.objects.get)(pk=talk.fence.turn_id)

    def work(head: int) -> Sequence[Entry]:
        with pytest.raises(IntegrityError), transaction.atomic():
            Turn.objects.create(owner=turn.owner, conversation=turn.conversation, client_id=turn.client_id)
        return [Entry(turn.pk, 1, Delta("all is well"))]

    await log.append(talk.conversation_id, work)
    assert await texts(talk.conversation_id) == ["all is well"]


async def test_a_caller_who_goes_leaves_the_work_to_be_done(log: EventLog, talk: Talk) -> None:
    held, task = await hold(log, talk.conversation_id)
    call = asyncio.create_task(log.append(talk.conversation_id, saying(talk.fence, "a")))
    await asyncio.sleep(0.05)
    call.cancel()
    held.may_end.set()
    await task
    await log.append(talk.conversation_id, saying(talk.fence, "b"))
    assert await texts(talk.conversation_id) == ["a", "b"]


async def test_this_process_is_told_before_the_caller(log: EventLog, talk: Talk) -> None:
    heard: list[Any] = []
    unsubscribe = hub.subscribe(topic(talk.conversation_id), heard.append)
    for text in "abc":
        stored = await log.append(talk.conversation_id, saying(talk.fence, text))
        assert told(heard[-1]) == stored
        assert heard[-1]["head"] == stored[-1].seq
    await log.append(talk.conversation_id, lambda head: [])
    assert len(heard) == 3
    unsubscribe()


async def test_a_page_is_bounded_by_number_and_by_size(log: EventLog, talk: Talk) -> None:
    long = "x" * 60_000
    await log.append(talk.conversation_id, saying(talk.fence, *"abc", long, long, long, "x" * 200_000, "z"))
    sizes = []
    at = 0
    while page := await since(talk.conversation_id, at):
        assert isinstance(page, list)
        assert [event.seq for event in page] == list(range(at + 1, at + 1 + len(page)))
        at = page[-1].seq
        sizes.append(len(page))
    assert at == 8
    assert sizes == [6, 1, 1]
    page = await since(talk.conversation_id, 0, 2)
    assert isinstance(page, list)
    assert [event.seq for event in page] == [1, 2]


async def test_a_cursor_beyond_the_head_is_a_gap_before_what_is_unfinished(log: EventLog, talk: Talk) -> None:
    await log.append(talk.conversation_id, saying(talk.fence, *"abc"))
    later = await in_thread(new_turn)(talk.conversation_id)
    await in_thread(Turn.objects.filter(pk=later.turn_id).update)(accepted_seq=3)
    await in_thread(Turn.objects.filter(pk=talk.fence.turn_id).update)(state=Turn.State.DONE, accepted_seq=1)
    assert await since(talk.conversation_id, 900) == Gap(2)
    await in_thread(Turn.objects.filter(pk=later.turn_id).update)(state=Turn.State.DONE)
    assert await since(talk.conversation_id, 900) == Gap(3)


async def test_a_closed_log_has_written_everything_and_starts_again(log: EventLog, talk: Talk) -> None:
    calls = [asyncio.create_task(log.append(talk.conversation_id, saying(talk.fence, text))) for text in "abcdef"]
    await asyncio.sleep(0)
    await asyncio.to_thread(log.close)
    await asyncio.gather(*calls)
    await log.append(talk.conversation_id, saying(talk.fence, "g"))
    assert await texts(talk.conversation_id) == list("abcdefg")


async def test_several_loops_share_a_log(log: EventLog, talk: Talk) -> None:
    """A view of Django's and the server's own loop are two."""

    def in_a_loop_of_its_own(name: str) -> None:
        async def many() -> None:
            for count in range(20):
                await log.append(talk.conversation_id, saying(talk.fence, f"{name}{count}"))

        asyncio.run(many())

    await asyncio.gather(*[asyncio.to_thread(in_a_loop_of_its_own, name) for name in "abc"])
    found = await texts(talk.conversation_id)
    assert sorted(found) == sorted(f"{name}{count}" for name in "abc" for count in range(20))
    for name in "abc":
        assert [text for text in found if text[0] == name] == [f"{name}{count}" for count in range(20)]
