"""The servers that the relay's tests share: each is started once, when the first test needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.relay.world import World

SETTINGS = {
    "usual": {},
    # Small bounds, and nobody without an account.
    "strict": {
        "MIVA_ANONYMOUS": "off",
        "MIVA_RATE": "5/s",
        "MIVA_SOCKETS": "3",
        "MIVA_MAX_FILE_MB": "1",
        "MIVA_MAX_PAGES": "10",
        "MIVA_PDF_TIMEOUT_S": "4",
        "MIVA_ENGINE_TIMEOUT_S": "4",
    },
    # As usual, but nobody else has used it: for measuring.
    "alone": {},
    # Little patience with engines.
    "hasty": {"MIVA_ENGINE_CONNECT_S": "1", "MIVA_ENGINE_TIMEOUT_S": "1.5", "MIVA_ENGINE_TOTAL_S": "3"},
    # The same, and few places.
    "crowded": {"MIVA_ENGINE_CONNECT_S": "1", "MIVA_ENGINE_TIMEOUT_S": "1.5", "MIVA_SOCKETS": "2"},
}
Start = Callable[[str, str], World]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives the running world of a server command and a name of settings."""
    worlds: dict[tuple[str, str], World] = {}

    def world(server: str, name: str) -> World:
        if (server, name) not in worlds:
            folder = tmp_path_factory.mktemp(f"{server}-{name}")
            worlds[server, name] = World(folder, server, **SETTINGS[name]).start()
        return worlds[server, name]

    yield world
    with ThreadPoolExecutor() as threads:
        list(threads.map(World.stop, worlds.values()))


@pytest.fixture
def relay(start: Start) -> Iterator[World]:
    """The product under uvicorn."""
    world = start("uvicorn", "usual")
    yield world
    world.assert_calm()


@pytest.fixture(params=["uvicorn", "daphne", "runserver"])
def any_relay(start: Start, request: pytest.FixtureRequest) -> Iterator[World]:
    """The product under each server."""
    world = start(request.param, "usual")
    yield world
    world.assert_calm()


@pytest.fixture(params=["uvicorn", "daphne"])
def strict(start: Start, request: pytest.FixtureRequest) -> Iterator[World]:
    """The product with small bounds."""
    world = start(request.param, "strict")
    yield world
    world.assert_calm()


@pytest.fixture
def hasty(start: Start) -> Iterator[World]:
    """The product with little patience for its engine."""
    world = start("uvicorn", "hasty")
    yield world
    world.assert_calm()
