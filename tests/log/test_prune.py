"""What is thrown away of the log, what never is, and how a reader is told of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from miva import log_reading
from miva.eventlog import Entry, EventLog, fenced, prune, since
from miva.in_thread import in_thread
from miva.models import LogEvent, Turn
from miva.protocol.events import Delta, Done, Gap
from tests.log.conftest import Talk, new_talk, new_turn

DAY = timedelta(hours=24)


def grow_old(talk: Talk, first: int, last: int) -> None:
    events = LogEvent.objects.filter(conversation_id=talk.conversation_id, seq__range=(first, last))
    events.update(created_at=timezone.now() - 2 * DAY)


async def pruned() -> int:
    return await in_thread(prune)(timezone.now() - DAY)


async def say(log: EventLog, talk: Talk, count: int) -> None:
    await log.append(talk.conversation_id, fenced(talk.fence, [Delta("a")] * count, 10.0))


async def finish(log: EventLog, talk: Talk) -> None:
    turn_id = talk.fence.turn_id
    await in_thread(Turn.objects.filter(pk=turn_id).update)(state=Turn.State.DONE)
    await log.append(talk.conversation_id, lambda head: [Entry(turn_id, 1, Done("a"))])


async def test_old_turns_go_and_a_reader_is_told(log: EventLog, talk: Talk) -> None:
    await say(log, talk, 3)
    await finish(log, talk)
    later = Talk(talk.conversation_id, await in_thread(new_turn)(talk.conversation_id))
    await say(log, later, 2)
    await in_thread(grow_old)(talk, 1, 4)
    assert await pruned() == 4
    assert await since(talk.conversation_id, 0) == Gap(4)
    assert await since(talk.conversation_id, 2) == Gap(4)
    kept = await since(talk.conversation_id, 4)
    assert isinstance(kept, list)
    assert [at.seq for at in kept] == [5, 6]
    assert await pruned() == 0


async def test_where_nothing_is_kept_reading_goes_on_from_the_head(log: EventLog, talk: Talk) -> None:
    await say(log, talk, 3)
    await finish(log, talk)
    await in_thread(grow_old)(talk, 1, 4)
    assert await pruned() == 4
    assert await since(talk.conversation_id, 1) == Gap(4)
    assert await since(talk.conversation_id, 4) == []
    later = Talk(talk.conversation_id, await in_thread(new_turn)(talk.conversation_id))
    await say(log, later, 1)
    assert await since(talk.conversation_id, 0) == Gap(4)


async def test_a_turn_that_is_not_over_is_kept_whole_however_old(log: EventLog, talk: Talk) -> None:
    other = await in_thread(new_talk)(state=Turn.State.WAITING)
    await say(log, talk, 3)
    await log.append(other.conversation_id, lambda head: [Entry(other.fence.turn_id, 0, Delta("b"))])
    await in_thread(grow_old)(talk, 1, 3)
    await in_thread(grow_old)(other, 1, 1)
    assert await pruned() == 0
    await finish(log, talk)
    assert await pruned() == 0, "its end is young, so it is kept whole"
    await in_thread(grow_old)(talk, 4, 4)
    assert await pruned() == 4


async def test_what_is_behind_an_unfinished_turn_stays_too(log: EventLog, talk: Talk) -> None:
    """What is kept has no holes."""
    await say(log, talk, 1)
    later = Talk(talk.conversation_id, await in_thread(new_turn)(talk.conversation_id))
    await say(log, later, 2)
    await finish(log, later)
    await in_thread(grow_old)(talk, 1, 4)
    assert await pruned() == 0
    await finish(log, talk)
    await in_thread(grow_old)(talk, 5, 5)
    assert await pruned() == 5


async def test_much_is_thrown_away_in_pieces(log: EventLog, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reading, "_PRUNED_AT_ONCE", 7)
    talks = [talk, *[await in_thread(new_talk)() for _ in range(3)]]
    for one in talks:
        await say(log, one, 40)
        await finish(log, one)
        await in_thread(grow_old)(one, 1, 41)
    young = await in_thread(new_talk)()
    await say(log, young, 5)
    assert await pruned() == 4 * 41
    assert await in_thread(LogEvent.objects.count)() == 5
