"""What must be true before a process serves: settings that can be used, a migrated database, readers and an engine."""

from __future__ import annotations

import atexit
import fcntl
import logging
import threading
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from miva import document_rows, engine_process
from miva.checks import problems_in_words
from miva.documents import reader

logger = logging.getLogger("miva")

_started = threading.Lock()


def require_usable_settings() -> None:
    """Ends the process with the problems in words where the settings cannot be used."""
    problems = problems_in_words()
    if problems:
        raise SystemExit(f"Cannot start:\n{problems}")


def migrate_if_needed() -> None:
    """Brings SQLite to the newest migration, once however many processes start: the others wait at a file lock.

    A server database is left to `manage.py migrate`, which its operator runs on purpose.
    """
    if connection.vendor != "sqlite":
        return
    with Path(settings.MIVA_DATA_DIR, "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
            logger.info("The database was brought up to date")
    connection.close()


def _tidy() -> None:
    try:
        document_rows.fail_stale()
    except DatabaseError:  # a server database that is away, or not migrated yet: /api/health/ tells
        logger.warning("The database cannot be used yet")
    connection.close()


def start_parts() -> None:
    """Starts what a serving process needs beside itself: the readers of documents and the embedded engine."""
    if not _started.acquire(blocking=False):
        return
    reader.start()
    engine_process.start()
    atexit.register(stop_parts)


def stop_parts() -> None:
    """Stops what `start_parts` started; safe to call again."""
    if not _started.locked():
        return
    engine_process.stop()
    reader.stop()
    _started.release()


def prepare_server() -> None:
    """All of the above, in a thread: servers import us inside their event loop, where Django's ORM refuses."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            require_usable_settings()
            migrate_if_needed()
            _tidy()
        except BaseException as why:
            failure.append(why)

    thread = threading.Thread(target=work, name="prepare")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    start_parts()
