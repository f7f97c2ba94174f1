"""What is counted in a real Redis that stands still for a moment: nothing counts twice, nothing counts for ever."""

from __future__ import annotations

import asyncio

import pytest

from miva import redis_counts
from miva.redis_counts import PATIENCE_S, RedisCounts
from tests.redis_server import RedisServer

LONG_S = 3600.0


@pytest.fixture
def counts(redis_server: RedisServer) -> RedisCounts:
    return RedisCounts(redis_server.url)


async def stalled(server: RedisServer, seconds: float) -> None:
    server.pause()
    await asyncio.sleep(seconds)
    server.go_on()


async def test_a_socket_is_counted_once_where_redis_answers_only_the_second_time(
    redis_server: RedisServer, counts: RedisCounts
) -> None:
    assert await counts.take_socket("me", "first", 2)
    taking = asyncio.create_task(counts.take_socket("me", "second", 2))
    await stalled(redis_server, PATIENCE_S * 1.4)
    assert await taking, "there are only two"
    assert not await counts.take_socket("me", "third", 2)


async def test_a_question_is_counted_once_where_redis_answers_only_the_second_time(
    redis_server: RedisServer, counts: RedisCounts
) -> None:
    assert not await counts.take_question("me", 2, LONG_S)
    taking = asyncio.create_task(counts.take_question("me", 2, LONG_S))
    await stalled(redis_server, PATIENCE_S * 1.4)
    assert not await taking, "there are only two"
    assert LONG_S - 60 < await counts.take_question("me", 2, LONG_S) <= LONG_S


async def test_a_place_that_was_given_back_in_vain_is_given_back_with_the_next_renewal(
    redis_server: RedisServer, counts: RedisCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counts, "REST_S", 0.1)
    redis_server.kill()
    await counts.give_back("me", "first")
    redis_server.start()
    other = RedisCounts(redis_server.url)
    assert await other.take_socket("me", "first", 1), "as a Redis that keeps what it was told"
    assert not await other.take_socket("me", "second", 1)
    await asyncio.sleep(0.2)
    await counts.renew({})
    assert await other.take_socket("me", "second", 1)
