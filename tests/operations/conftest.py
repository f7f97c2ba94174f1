"""What the tests of operations share: servers, a Redis and talks over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer


def pytest_configure(config: pytest.Config) -> None:
    """Names the mark of tests that take more than a minute: `-m "not slow"` leaves them out."""
    config.addinivalue_line("markers", "slow: takes more than a minute")


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own, to be killed and paused."""
    with RedisServer() as server:
        yield server
