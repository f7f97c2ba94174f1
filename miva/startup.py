"""What must be true before a process serves: settings that can be used, a migrated database, readers and an engine."""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection

from miva import database_away, engine_process, migrated, stopping
from miva.allocator import use_few_arenas
from miva.checks import problems_in_words
from miva.documents import reader
from miva.eventlog import log
from miva.hub import hub
from miva.silence import bound_waits
from miva.turn_keeper import keeper

logger = logging.getLogger("miva")

END_S = 5.0
"""How long a server may take to hand over and to end, once its connections are closed or given up."""

_started = threading.Lock()


def require_usable_settings() -> None:
    """Ends the process with the problems in words where the settings cannot be used; logs what is only doubtful."""
    problems, warnings = problems_in_words()
    for warning in warnings:
        logger.warning("%s", warning)
    if problems:
        raise SystemExit(f"Cannot start:\n{problems}")


def migrate_if_needed() -> None:
    """Brings SQLite to the newest migration, once however many processes start: the others wait at a file lock.

    A server database is left to `manage.py migrate`, which its operator runs on purpose; until then nothing is served,
    and the process ends with that in words. One that is away just now may come, so that ends nothing.
    """
    if connection.vendor != "sqlite":
        _require_migrated()
        return
    with Path(settings.MIVA_DATA_DIR, "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if migrated.missing_steps():
            call_command("migrate", interactive=False, verbosity=0)
            logger.info("The database was brought up to date")
    connection.close()


def _require_migrated() -> None:
    try:
        missing = migrated.missing_steps()
    except DatabaseError as why:
        logger.warning("The database cannot be reached yet: %s", database_away.in_words(why))
        return
    finally:
        connection.close()
    if missing:
        raise SystemExit(f"Cannot start:\n- {migrated.in_words(missing)}\n  {migrated.ADVICE}")


def start_parts() -> None:
    """Starts what a serving process needs beside itself: the readers of documents and the embedded engine."""
    if not _started.acquire(blocking=False):
        return
    reader.start()
    engine_process.start()
    atexit.register(stop_parts)


async def begin_serving() -> None:
    """Starts what runs on the server's event loop, whether or not any client comes."""
    start_parts()
    keeper.start()


async def end_serving() -> None:
    """Hands over what goes on here and stops all parts; the process ends within END_S, whatever hangs."""
    threading.Thread(target=_end_for_certain, name="end", daemon=True).start()
    stopping.begin()
    await keeper.stop()
    await hub.close()
    await asyncio.to_thread(log.close)
    await asyncio.to_thread(stop_parts)


def _end_for_certain() -> None:
    """A database that does not answer would keep the threads that ask it, and with them the process, for ever."""
    time.sleep(END_S)
    logger.error("Something keeps this server from ending; it is ended without waiting for that. Its threads:")
    faulthandler.dump_traceback()
    os._exit(1)  # what runs here is taken by another process when its lease is over


def stop_parts() -> None:
    """Stops what `start_parts` started; safe to call again."""
    if not _started.locked():
        return
    engine_process.stop()
    reader.stop()
    _started.release()


def prepare_server() -> None:
    """All of the above, in a thread: servers import us inside their event loop, where Django's ORM refuses."""
    use_few_arenas()
    failure: list[BaseException] = []

    bound_waits()

    def work() -> None:
        try:
            require_usable_settings()
            migrate_if_needed()
        except BaseException as why:
            failure.append(why)

    thread = threading.Thread(target=work, name="prepare")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    start_parts()
