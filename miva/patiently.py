"""Reads of the database that a turn or its reader cannot do without: tried again while it is away.

They are tried for as long as the log tries to write.
A database that is started again must cost nobody an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from miva.database_away import note
from miva.eventlog import AWAY, PATIENCE_S

logger = logging.getLogger("miva.patiently")

T = TypeVar("T")

PAUSE_S = 0.5


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What `read` brings, which changes nothing and may be called again; raises one of AWAY after PATIENCE_S."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + PATIENCE_S
    was_told = False
    while True:
        try:
            return await read()
        except AWAY as why:
            if loop.time() >= ends_at:
                raise
            if not was_told:
                note(logger, logging.WARNING, "The database cannot be read (%s); trying again", why)
            was_told = True
        await asyncio.sleep(PAUSE_S)
