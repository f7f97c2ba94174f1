"""A follower gives every event behind its cursor once and in order, whatever is lost, late or pruned on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miva import eventlog, follower
from miva.eventlog import Stored
from miva.follower import Follower
from miva.hub import hub
from miva.protocol.errors import NotFound
from miva.protocol.events import Gap
from tests.product import PATIENCE_S
from tests.reading.conftest import Log, MakeLog


async def taken(reader: Follower, to: int) -> list[int]:
    """The numbers that a follower gives, up to and with this one."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while not found or found[-1] != to:
            step = await anext(reader)
            assert isinstance(step, Stored), step
            found.append(step.seq)
    return found


async def assert_nothing_comes(reader: Follower) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(reader), 0.3)


@pytest.fixture
def follow(make_log: MakeLog) -> Any:
    """Makes followers, which are closed at the end."""
    made: list[Follower] = []

    def begin(log: Log, after: int) -> Follower:
        made.append(Follower(log.id, log.conversation.label, after))
        return made[-1]

    yield begin
    for reader in made:
        reader.close()


Follow = Callable[[Log, int], Follower]


async def test_every_cursor_is_gone_on_from(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    last = await log.say(*map(str, range(20)))
    for after in range(last):
        assert await taken(follow(log, after), last) == list(range(after + 1, last + 1))


async def test_what_is_logged_while_it_waits_comes_at_once(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    reader = follow(log, 0)
    for number in range(1, 50):
        await log.say(str(number))
        assert await taken(reader, number) == [number]


async def test_a_log_of_several_pages_is_read_to_its_end(
    make_log: MakeLog, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await make_log()
    last = await log.say(*(["x" * 1000] * 1500))
    assert await taken(follow(log, 0), last) == list(range(1, last + 1))


async def test_readers_at_any_speed_get_everything(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    last = 600

    async def read(pause: float) -> list[int]:
        found: list[int] = []
        reader = follow(log, 0)
        while not found or found[-1] != last:
            found += await taken(reader, min(last, (found[-1] if found else 0) + 1))
            if pause:
                await asyncio.sleep(pause)
        return found

    readers = [asyncio.create_task(read(pause)) for pause in (0, 0, 0.001, 0.003)]
    for number in range(0, last, 3):
        await log.say(*(str(number + more) for more in range(3)))
    assert await asyncio.gather(*readers) == [list(range(1, last + 1))] * 4


async def test_a_slow_reader_keeps_nothing_in_memory(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    reader = follow(log, 0)
    await log.say("first")
    assert await taken(reader, 1) == [1]
    for _ in range(200):  # it writes now, and asks for nothing
        await log.say("x" * 10_000)
    assert not reader._ahead
    assert not reader._held
    assert await taken(reader, 201) == list(range(2, 202))


async def test_what_comes_while_the_log_is_read_is_held_within_bounds(
    make_log: MakeLog, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await make_log()
    reader, since, may_go_on = follow(log, 0), eventlog.since, asyncio.Event()

    async def slow(*args: Any) -> Any:
        await may_go_on.wait()
        return await since(*args)

    monkeypatch.setattr(eventlog, "since", slow)
    waiting = asyncio.create_task(taken(reader, 120))
    most = 0
    for number in range(120):
        await log.say("x" * (50_000 if number < 60 else 1))
        most = max(most, sum(follower._characters(stored.event) for stored in reader._held))
        assert len(reader._held) <= follower.MOST_HELD
    assert 0 < most < follower.MOST_CHARACTERS + 50_000
    may_go_on.set()
    assert await waiting == list(range(1, 121))


@contextmanager
def deaf(log: Log) -> Iterator[None]:
    """News of this conversation is lost."""
    listeners = hub._listeners.pop(eventlog.topic(log.id))
    yield
    hub._listeners[eventlog.topic(log.id)] = listeners


async def test_a_hole_in_the_news_is_read_from_the_log(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    waiting = asyncio.create_task(taken(follow(log, 0), 4))
    await asyncio.sleep(0.1)
    with deaf(log):
        await log.say("1", "2", "3")
        await asyncio.sleep(0.1)
    assert not waiting.done()
    await log.say("4")
    assert await asyncio.wait_for(waiting, follower.POLL_ALONE_S / 2) == [1, 2, 3, 4]


async def test_news_that_never_comes_is_found_by_the_poll(make_log: MakeLog, follow: Follow) -> None:
    log, other = await make_log(), await make_log()
    waiting = asyncio.create_task(taken(follow(log, 0), 3))
    follow(other, 0)
    await asyncio.sleep(0.1)
    with deaf(log):
        await log.say("1", "2", "3")
        assert await waiting == [1, 2, 3]


async def test_a_cursor_before_what_is_kept_is_a_gap_and_goes_on_behind_it(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say(*map(str, range(10)))
    await log.forget_to(4)
    reader = follow(log, 2)
    assert await anext(reader) == Gap(4)
    assert await taken(reader, 10) == [5, 6, 7, 8, 9, 10]
    assert await taken(follow(log, 4), 10) == [5, 6, 7, 8, 9, 10]


async def test_a_log_that_is_pruned_whole_is_a_gap_to_its_head(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say("1", "2", "3")
    await log.forget_to(3)
    reader = follow(log, 0)
    assert await anext(reader) == Gap(3)
    await assert_nothing_comes(reader)
    await log.say("4")
    assert await taken(reader, 4) == [4]
    await assert_nothing_comes(follow(log, 4))


async def test_a_cursor_beyond_the_head_is_a_gap_and_nothing_is_told_again(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say("1", "2", "3")
    reader = follow(log, 900)
    assert await anext(reader) == Gap(3)
    await assert_nothing_comes(reader)
    await log.say("4")
    assert await taken(reader, 4) == [4]


async def test_moving_it_begins_anew_from_there(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say(*map(str, range(10)))
    reader = follow(log, 5)
    assert await taken(reader, 7) == [6, 7]
    reader.move(1)
    assert await taken(reader, 10) == list(range(2, 11))
    waiting = asyncio.create_task(taken(reader, 10))
    await asyncio.sleep(0.1)
    reader.move(8)
    assert await waiting == [9, 10]


async def test_a_conversation_that_is_deleted_ends_its_readers(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say("1")
    reader = follow(log, 0)
    assert await taken(reader, 1) == [1]
    await log.vanish()
    with pytest.raises(NotFound):
        await asyncio.wait_for(anext(reader), PATIENCE_S)
    with pytest.raises(NotFound):
        await anext(follow(log, 0))


async def test_closing_it_ends_the_iteration_and_the_poll(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    reader = follow(log, 0)
    ended = asyncio.create_task(anext(reader, None))
    await asyncio.sleep(0.1)
    reader.close()
    assert await ended is None
    assert eventlog.topic(log.id) not in hub._listeners
    assert eventlog.topic(log.id) not in hub._changed
    assert log.id not in follower._followers


async def test_closing_it_in_the_middle_of_a_page_ends_it_too(make_log: MakeLog, follow: Follow) -> None:
    log = await make_log()
    await log.say("1", "2", "3")
    reader = follow(log, 0)
    assert await taken(reader, 1) == [1]
    reader.close()  # whoever follows the same conversation next begins anew: nothing may be told by both
    assert await anext(reader, None) is None


STEPS = st.lists(
    st.sampled_from(["say", "say loudly", "lose", "read", "read all", "move", "wait"]), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, chances=st.randoms(use_true_random=False))
def test_any_order_of_saying_losing_reading_and_moving(make_log: MakeLog, steps: list[str], chances: Any) -> None:
    """Against a plain counter: what is given next is always the number after the last, up to the head."""

    async def play() -> None:
        log = await make_log()
        head, cursor = 0, 0
        reader = Follower(log.id, "c", 0)
        topic = eventlog.topic(log.id)
        try:
            for step in steps:
                if step in ("say", "say loudly", "lose"):
                    listeners = hub._listeners.pop(topic) if step == "lose" else None
                    many = 700 if step == "say loudly" else chances.randint(1, 3)
                    head = await log.say(*["x"] * many)
                    await asyncio.sleep(0)
                    if listeners is not None:
                        hub._listeners[topic] = listeners
                elif step == "move":
                    cursor = chances.randint(0, head)
                    reader.move(cursor)
                elif step == "wait":
                    if cursor < head:
                        waiting = asyncio.create_task(anext(reader))
                        await asyncio.sleep(0.002)
                        head = await log.say("y")
                        found = await waiting
                        assert isinstance(found, Stored)
                        assert found.seq == cursor + 1
                        cursor += 1
                else:
                    reader.look_at(head)  # as the poll does
                    to = head if step == "read all" else min(head, cursor + 2)
                    if cursor < to:
                        assert await taken(reader, to) == list(range(cursor + 1, to + 1))
                        cursor = to
        finally:
            reader.close()
            await hub.close()

    asyncio.run(play())
