"""Databases that a test's own process uses: an empty SQLite file or PostgreSQL database in place of the usual one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
from django.core.management import call_command
from django.db import connections

from miva import in_thread, library


def sqlite_settings(file: Path) -> dict[str, Any]:
    """As in epsilon/settings.py, for another file."""
    options = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": options}


def postgres_settings(address: str) -> dict[str, Any]:
    """As in epsilon/settings.py with this DATABASE_URL."""
    return {**environ.Env.db_url_config(address), "ENGINE": "miva.postgres", "CONN_HEALTH_CHECKS": True}


_migrated: set[str] = set()
"""The names of databases that are; to look again with every test would take longer than most tests."""


@contextmanager
def using(database: dict[str, Any], blocker: Any) -> Iterator[None]:
    """This process's default database is another one, brought to the newest migration; `blocker` is pytest-django's."""
    usual = connections.settings["default"]
    with blocker.unblock():
        _switch(connections.configure_settings({"default": database})["default"])
        try:
            if (name := str(database["NAME"])) not in _migrated:
                call_command("migrate", verbosity=0)
                _migrated.add(name)
            yield
        finally:
            _switch(usual)


def _switch(database: dict[str, Any]) -> None:
    """Each thread that lives on keeps a connection of its own, which is to be made anew."""
    connections.settings["default"] = database
    _forget()
    for threads, count in ((in_thread.threads, in_thread.THREADS), (library.file_threads, library.FILE_THREADS)):
        together = threading.Barrier(count)
        for forgotten in [threads.submit(_forget_together, together) for _ in range(count)]:
            forgotten.result()


def _forget_together(together: threading.Barrier) -> None:
    together.wait()  # so that each thread does it once
    _forget()


def _forget() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()
        del connections[connection.alias]
