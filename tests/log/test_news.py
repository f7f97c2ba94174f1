"""How other processes hear of new events: over a real Redis, with the events while they are short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from miva.eventlog import EventLog, Stored, fenced, told, topic
from miva.hub import Hub, hub
from miva.protocol.events import Delta
from tests.log.conftest import Talk
from tests.operations.talk import eventually
from tests.redis_server import RedisServer

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def _layer(redis_server: RedisServer, settings: Any) -> None:
    config = {"hosts": [{"address": redis_server.url, "socket_timeout": 10}]}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "miva.redis_layer.RedisLayer", "CONFIG": config}}


@pytest_asyncio.fixture
async def elsewhere(_layer: None, talk: Talk) -> AsyncIterator[list[dict[str, Any]]]:
    """The news of the talk as they come to another process."""
    heard: list[dict[str, Any]] = []
    other = Hub()
    unsubscribe = hub.subscribe("anything", lambda news: None)  # this process listens too, as every server does
    other.subscribe(topic(talk.conversation_id), heard.append)
    await eventually(lambda: hub.connected and other.connected)
    yield heard
    unsubscribe()
    await hub.close()
    await other.close()


def words(news: list[dict[str, Any]]) -> list[Stored]:
    return [stored for one in news for stored in told(one) or ()]


async def test_short_events_are_carried_whole(log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]]) -> None:
    events = [Delta("a \udce4 \x00 ü"), Delta("b")]
    stored = await log.append(talk.conversation_id, fenced(talk.fence, events, 10.0))
    await eventually(lambda: elsewhere)
    assert words(elsewhere) == stored
    assert elsewhere[0]["head"] == 2
    assert told(elsewhere[0]) is told(elsewhere[0]), "they are read once for all listeners of a process"


async def test_of_long_ones_others_hear_only_how_far_they_go(
    log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]]
) -> None:
    await log.append(talk.conversation_id, fenced(talk.fence, [Delta("x" * 20_000)] * 3, 10.0))
    await eventually(lambda: elsewhere)
    assert [(news["head"], told(news)) for news in elsewhere] == [(3, None)]


async def test_a_burst_is_joined_and_stays_in_order(
    log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]], redis_server: RedisServer
) -> None:
    redis_server.pause()
    for count in range(50):
        await log.append(talk.conversation_id, fenced(talk.fence, [Delta(f"{count}")], 10.0))
    redis_server.go_on()
    await eventually(lambda: elsewhere and elsewhere[-1]["head"] == 50)
    assert len(elsewhere) < 5
    assert [stored.event for stored in words(elsewhere)] == [Delta(f"{count}") for count in range(50)]


async def test_a_long_burst_is_joined_to_its_last_number(
    log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]], redis_server: RedisServer
) -> None:
    redis_server.pause()
    for _ in range(30):
        await log.append(talk.conversation_id, fenced(talk.fence, [Delta("x" * 5_000)], 10.0))
    redis_server.go_on()
    await eventually(lambda: elsewhere and elsewhere[-1]["head"] == 30)
    assert told(elsewhere[-1]) is None
    assert len(elsewhere) < 5


async def test_a_layer_that_is_away_holds_up_nobody(
    log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]], redis_server: RedisServer
) -> None:
    redis_server.kill()
    here: list[dict[str, Any]] = []
    unsubscribe = hub.subscribe(topic(talk.conversation_id), here.append)
    for count in range(20):
        await asyncio.wait_for(log.append(talk.conversation_id, fenced(talk.fence, [Delta(f"{count}")], 10.0)), 20)
    assert [stored.seq for stored in words(here)] == list(range(1, 21))
    unsubscribe()


async def test_closing_lets_the_last_news_go_out(log: EventLog, talk: Talk, elsewhere: list[dict[str, Any]]) -> None:
    await log.append(talk.conversation_id, fenced(talk.fence, [Delta("good bye")], 10.0))
    await hub.close()
    await eventually(lambda: elsewhere)
    assert [stored.event for stored in words(elsewhere)] == [Delta("good bye")]
