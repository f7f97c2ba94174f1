"""The event log against a plain dictionary, over random histories: appends, fences, takeovers, prunes, any cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from miva import eventlog
from miva.eventlog import Entry, EventLog, Fence, FencedOff, Stored, Work, fenced
from miva.hub import hub
from miva.models import LogEvent, Owner, Turn
from miva.protocol.events import Cancelled, Delta, Done, Event, Gap, Reply, Reset, Thinking
from tests.log.conftest import WORKER, new_talk, new_turn

UNFINISHED = (Turn.State.WAITING, Turn.State.RUNNING)
EVENTS = st.lists(
    st.one_of(
        st.builds(Delta, st.text(max_size=20)),
        st.builds(Reply, st.text(max_size=20), st.text(max_size=20), st.booleans()),
        st.just(Thinking()),
    ),
    max_size=4,
)


@dataclass
class OneTurn:
    """What should be true of a turn."""

    fence: Fence
    state: Turn.State = Turn.State.RUNNING
    accepted_seq: int = 0


@dataclass
class OneTalk:
    """What should be true of a conversation: its events by number, with the hours since each was written."""

    id: UUID
    head: int = 0
    kept: dict[int, tuple[UUID, int, Event]] = field(default_factory=dict)
    hours: dict[int, int] = field(default_factory=dict)
    turns: list[OneTurn] = field(default_factory=list)
    heard: list[Stored] = field(default_factory=list)

    def write(self, turn_id: UUID, attempt: int, events: Sequence[Event]) -> None:
        for event in events:
            self.head += 1
            self.kept[self.head], self.hours[self.head] = (turn_id, attempt, event), 0

    def prune(self, hours: int) -> int:
        unfinished = {turn.fence.turn_id for turn in self.turns if turn.state in UNFINISHED}
        whole = unfinished | {entry[0] for seq, entry in self.kept.items() if self.hours[seq] < hours}
        first = min((seq for seq, entry in self.kept.items() if entry[0] in whole), default=self.head + 1)
        old = [seq for seq in self.kept if seq < first]
        for seq in old:
            del self.kept[seq], self.hours[seq]
        return len(old)

    def read(self, after: int) -> list[tuple[int, UUID, int, Event]] | Gap:
        if after > self.head:
            unfinished = [turn.accepted_seq for turn in self.turns if turn.state in UNFINISHED]
            return Gap(min(unfinished) - 1 if unfinished else self.head)
        if after == self.head:
            return []
        if after + 1 not in self.kept:
            return Gap(min(self.kept, default=self.head + 1) - 1)
        return [(seq, *self.kept[seq]) for seq in range(after + 1, self.head + 1)]


class LogMachine(RuleBasedStateMachine):
    talks = Bundle("talks")

    def __init__(self) -> None:
        super().__init__()
        Owner.objects.all().delete()
        self.log = EventLog()
        self.loop = asyncio.Runner()
        self.all: list[OneTalk] = []
        self.unsubscribe: list[Callable[[], None]] = []

    def teardown(self) -> None:
        for unsubscribe in self.unsubscribe:
            unsubscribe()
        self.log.close()
        self.loop.close()

    def append(self, *calls: tuple[OneTalk, Work]) -> list[Any]:
        """All at once, as tasks of one process call it."""

        async def appended() -> list[Any]:
            waiting = [asyncio.ensure_future(self.log.append(talk.id, work)) for talk, work in calls]
            return await asyncio.gather(*waiting, return_exceptions=True)

        return self.loop.run(appended())

    @initialize(target=talks)
    def two_to_begin_with(self) -> Any:
        return multiple(self.begin(), self.begin())

    @rule(target=talks)
    def begin(self) -> OneTalk:
        made = new_talk()
        talk = OneTalk(made.conversation_id, turns=[OneTurn(made.fence)])

        async def listen() -> None:
            hear = hub.subscribe(eventlog.topic(talk.id), lambda news: talk.heard.extend(eventlog.told(news) or ()))
            self.unsubscribe.append(hear)

        self.loop.run(listen())
        self.accept(talk, talk.turns[0])
        self.all.append(talk)
        return talk

    def accept(self, talk: OneTalk, turn: OneTurn) -> None:
        """A turn's first event tells where it begins."""

        def work(head: int) -> Sequence[Entry]:
            Turn.objects.filter(pk=turn.fence.turn_id).update(accepted_seq=head + 1)
            return [Entry(turn.fence.turn_id, 0, Thinking())]

        [stored] = self.append((talk, work))
        turn.accepted_seq = stored[0].seq
        talk.write(turn.fence.turn_id, 0, [Thinking()])

    @rule(talk=talks)
    def ask_once_more(self, talk: OneTalk) -> None:
        turn = OneTurn(new_turn(talk.id))
        talk.turns.append(turn)
        self.accept(talk, turn)

    @rule(talk=talks, events=EVENTS, which=st.integers(0), stale=st.sampled_from(["", "", "", "worker", "attempt"]))
    def write_behind_a_fence(self, talk: OneTalk, events: list[Event], which: int, stale: str) -> None:
        self.write_together([(talk, events, which, stale)])

    @rule(
        writes=st.lists(st.tuples(talks, EVENTS, st.integers(0, 3), st.sampled_from(["", "", "attempt"])), max_size=8),
        fails=st.booleans(),
    )
    def write_at_once(self, writes: list[tuple[OneTalk, list[Event], int, str]], fails: bool) -> None:
        self.write_together(writes, fails=fails)

    def write_together(self, writes: Sequence[tuple[OneTalk, list[Event], int, str]], *, fails: bool = False) -> None:
        calls: list[tuple[OneTalk, Work]] = []
        expected: list[tuple[OneTalk, OneTurn, list[Event], bool]] = []
        for talk, events, which, stale in writes:
            turn = talk.turns[which % len(talk.turns)]
            shown = turn.fence
            if stale == "worker":
                shown = Fence(shown.turn_id, "f" * 32, shown.attempt)
            elif stale:
                shown = Fence(shown.turn_id, shown.worker, shown.attempt - 1)
            calls.append((talk, fenced(shown, events, 10.0)))
            expected.append((talk, turn, events, not stale and turn.state == Turn.State.RUNNING))
            if fails:
                calls.append((talk, self.fail))
        results = iter(self.append(*calls))
        for talk, turn, events, is_held in expected:
            result = next(results)
            if is_held:
                first = talk.head + 1
                talk.write(turn.fence.turn_id, turn.fence.attempt, events)
                assert [(at.seq, at.event) for at in result] == list(enumerate(events, first))
            else:
                assert isinstance(result, FencedOff)
            if fails:
                assert isinstance(next(results), ZeroDivisionError)

    @staticmethod
    def fail(head: int) -> Sequence[Entry]:
        Turn.objects.all().update(state=Turn.State.FAILED)
        raise ZeroDivisionError

    @rule(talk=talks, which=st.integers(0))
    def take_over(self, talk: OneTalk, which: int) -> None:
        turn = talk.turns[which % len(talk.turns)]
        if turn.state not in UNFINISHED:
            return
        taken = Fence(turn.fence.turn_id, WORKER[::-1], turn.fence.attempt + 1)

        def work(head: int) -> Sequence[Entry]:
            before = Turn.objects.filter(pk=taken.turn_id, attempt=turn.fence.attempt)
            assert before.update(attempt=taken.attempt, worker=taken.worker, state=Turn.State.RUNNING)
            return [Entry(taken.turn_id, taken.attempt, Reset(taken.attempt))]

        before, late, after = self.append(
            (talk, work),
            (talk, fenced(turn.fence, [Delta("too late")], 10.0)),
            (talk, fenced(taken, [Delta("in time")], 10.0)),
        )
        assert isinstance(late, FencedOff)
        assert [at.seq for at in before + after] == [talk.head + 1, talk.head + 2]
        turn.fence, turn.state = taken, Turn.State.RUNNING
        talk.write(taken.turn_id, taken.attempt, [Reset(taken.attempt), Delta("in time")])

    @rule(talk=talks, which=st.integers(0), end=st.sampled_from([Done("whole", ({"page": 1},), 7, "<p>"), Cancelled()]))
    def end(self, talk: OneTalk, which: int, end: Event) -> None:
        turn = talk.turns[which % len(talk.turns)]
        if turn.state not in UNFINISHED:
            return

        def work(head: int) -> Sequence[Entry]:
            Turn.objects.filter(pk=turn.fence.turn_id).update(state=Turn.State.DONE)
            return [Entry(turn.fence.turn_id, turn.fence.attempt, end)]

        self.append((talk, work))
        turn.state = Turn.State.DONE
        talk.write(turn.fence.turn_id, turn.fence.attempt, [end])

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        LogEvent.objects.update(created_at=F("created_at") - timedelta(hours=hours))
        for talk in self.all:
            talk.hours = {seq: passed + hours for seq, passed in talk.hours.items()}

    @rule(hours=st.integers(1, 60))
    def prune(self, hours: int) -> None:
        # Half an hour aside: what is as old as the limit to the second is on neither side of it.
        deleted = eventlog.prune(timezone.now() - timedelta(hours=hours - 0.5))
        assert deleted == sum(talk.prune(hours) for talk in self.all)

    @rule(talk=talks, after=st.integers(-3, 60))
    def read(self, talk: OneTalk, after: int) -> None:
        """Numbers below zero count from the head, so that a cursor near it comes often."""
        cursor = talk.head + after + 2 if after < 0 else after
        found = self.loop.run(eventlog.since(talk.id, max(0, cursor)))
        shown = found if isinstance(found, Gap) else [(at.seq, at.turn_id, at.attempt, at.event) for at in found]
        assert shown == talk.read(max(0, cursor))

    @invariant()
    def heads_are_right(self) -> None:
        ids = [talk.id for talk in self.all]
        assert self.loop.run(eventlog.heads(ids)) == {talk.id: talk.head for talk in self.all}

    @invariant()
    def everything_was_told_once_and_in_order(self) -> None:
        for talk in self.all:
            assert [at.seq for at in talk.heard] == list(range(1, talk.head + 1))
            for at in talk.heard:
                assert at.seq not in talk.kept or talk.kept[at.seq] == (at.turn_id, at.attempt, at.event)


def test_any_history_is_what_a_dictionary_would_say(database: str) -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
