"""The event log: the one truth about what clients are shown of a conversation. Shown only after the commit.

Each event has a number (`seq`) that counts 1, 2, 3 … within its conversation, without gaps. Sockets are readers with a
cursor: `since` answers a resume, a second tab and a missed piece of news alike.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from miva import log_reading
from miva.hub import hub
from miva.in_thread import in_thread
from miva.log_news import telling, told, topic
from miva.log_rows import Entry, Fence, Fenced, FencedOff, Row, Stored, Work
from miva.log_writer import AWAY, Job, Result, Writer
from miva.protocol.events import Event, Gap

__all__ = [
    "AWAY",
    "PATIENCE_S",
    "Entry",
    "EventLog",
    "Fence",
    "FencedOff",
    "Stored",
    "Work",
    "fenced",
    "heads",
    "log",
    "prune",
    "since",
    "told",
    "topic",
]

logger = logging.getLogger("miva.eventlog")

PATIENCE_S = 30.0
"""How long events are kept trying to be stored while the database is away."""
PAGE = 500
"""Events read at once."""


class EventLog:
    """The writing side, one for a process: all that it stores goes through one thread."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._writer = Writer(_tell, _settle, patience_s)

    @property
    def commits(self) -> int:
        """How many commits there were so far; fewer than appends where these came faster."""
        return self._writer.commits

    async def append(self, conversation_id: UUID, work: Work) -> list[Stored]:
        """Has a work done; returns what it logged, once that is committed and this process was told.

        A caller that is cancelled leaves the work to be done all the same. Raises what the work raised, NotFound where
        the conversation is gone, and django.db.Error where the database cannot be reached for too long.
        """
        waiter: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
        self._writer.put(Job(conversation_id, work, waiter))
        return await waiter

    def close(self) -> None:
        """Writes what waits, and ends the thread; blocks for some seconds at most."""
        self._writer.close()


def fenced(fence: Fence, events: Sequence[Event], lease_s: float) -> Work:
    """A work that writes events of a running turn and renews its lease; raises FencedOff where it is held no more."""
    return Fenced(fence, events, lease_s)


async def since(conversation_id: UUID, after: int, most: int = PAGE) -> list[Stored] | Gap:
    """Up to `most` events behind a number, in order and without holes; none where it is the head.

    Gap where some of them are not kept, or never were. Raises NotFound where the conversation is gone.
    """
    return await in_thread(log_reading.since)(conversation_id, after, most)


async def heads(conversation_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The highest number of each conversation that is there."""
    return await in_thread(log_reading.heads)(list(conversation_ids))


def prune(older_than: datetime) -> int:
    """Deletes old events of finished turns from the beginnings of logs; returns how many. Blocks."""
    return log_reading.prune(older_than)


def _tell(rows: Sequence[Row]) -> None:
    try:
        groups = groupby(rows, key=lambda row: row.stored.conversation_id)
        hub.tell_all_from_anywhere([telling(list(group)) for _, group in groups])
    except Exception:  # who follows will look for themselves
        logger.exception("New events could not be told")


def _settle(results: Sequence[tuple[Job, Result]]) -> None:
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Stored]], Result]]]
    by_loop = defaultdict(list)
    for job, result in results:
        by_loop[job.waiter.get_loop()].append((job.waiter, result))
    for loop, settled in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_wake, settled)


def _wake(settled: Sequence[tuple[asyncio.Future[list[Stored]], Result]]) -> None:
    for waiter, result in settled:
        if waiter.done():  # its caller was cancelled
            continue
        if isinstance(result, Exception):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)


log = EventLog()
"""The log of this process."""
