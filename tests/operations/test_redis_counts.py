"""What is counted in a real Redis that stands still for a moment: nothing counts twice, nothing counts for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from miva import redis_counts
from miva.redis_counts import PATIENCE_S, RedisCounts
from tests.redis_server import RedisServer

LONG_S = 3600.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def counts(server: RedisServer) -> RedisCounts:
    with server.client() as client:
        client.flushall()
    return RedisCounts(server.url)


async def stalled(server: RedisServer, seconds: float) -> None:
    server.pause()
    await asyncio.sleep(seconds)
    server.go_on()


async def test_a_socket_is_counted_once_where_redis_answers_only_the_second_time(
    server: RedisServer, counts: RedisCounts
) -> None:
    assert await counts.take_socket("me", "first", 2)
    taking = asyncio.create_task(counts.take_socket("me", "second", 2))
    await stalled(server, PATIENCE_S * 1.4)
    assert await taking, "there are only two"
    assert not await counts.take_socket("me", "third", 2)


async def test_a_question_is_counted_once_where_redis_answers_only_the_second_time(
    server: RedisServer, counts: RedisCounts
) -> None:
    assert not await counts.take_question("me", 2, LONG_S)
    taking = asyncio.create_task(counts.take_question("me", 2, LONG_S))
    await stalled(server, PATIENCE_S * 1.4)
    assert not await taking, "there are only two"
    assert LONG_S - 60 < await counts.take_question("me", 2, LONG_S) <= LONG_S


async def test_a_place_that_was_given_back_in_vain_is_given_back_with_the_next_renewal(
    server: RedisServer, counts: RedisCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counts, "REST_S", 0.1)
    server.kill()
    await counts.give_back("me", "first")
    server.start()
    other = RedisCounts(server.url)
    assert await other.take_socket("me", "first", 1), "as a Redis that keeps what it was told"
    assert not await other.take_socket("me", "second", 1)
    await asyncio.sleep(0.2)
    await counts.renew({})
    assert await other.take_socket("me", "second", 1)
