"""What all tests share: a data folder of their own, set before Django reads its settings."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest

gc.disable()  # until all tests are collected: a third of that went into looking for garbage
_data = tempfile.mkdtemp(prefix="miva-tests-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["MIVA_DATA_DIR"] = _data
# Here and not in pyproject.toml: pytest-django would read the settings before this file is loaded.
os.environ["DJANGO_SETTINGS_MODULE"] = "epsilon.settings"
django.setup()  # so that the conftest.py of a folder may import models

from tests import databases  # noqa: E402  # it needs the settings
from tests.postgres_server import PostgresServer  # noqa: E402

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would every server that a test stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LONGEST = (
    "faults/test_sample.py",
    "operations/test_redis_limits.py",
    "relay/test_engine_trouble.py",
    "relay/test_mistakes.py",
    "relay/test_turns.py",
    "turns/test_taking_over.py",
    "uploads/test_sockets.py",
    "turns/test_stopping.py",
)
"""Files that take over half a minute, mostly waiting. Each runs in one process; begun last, all would wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the longest files begun first."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Takes all tests out of the garbage collector's sight, which would look through them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests that treat it well, started when the first needs it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def settings_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], dict[str, Any]]:
    """The settings of a database of a kind (`sqlite` or `postgresql`), made once for those who share it by a name."""
    made: dict[tuple[str, str], dict[str, Any]] = {}

    def settings_of(kind: str, shared_by: str) -> dict[str, Any]:
        if (kind, shared_by) not in made:
            if kind == "sqlite":
                about = databases.sqlite_settings(tmp_path_factory.mktemp(shared_by) / "miva.sqlite3")
            else:
                about = databases.postgres_settings(request.getfixturevalue("postgres").new_database())
            made[kind, shared_by] = about
        return made[kind, shared_by]

    return settings_of
