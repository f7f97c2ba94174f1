"""What a running turn has to tell: gathered while a commit is under way, joined, then logged in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import groupby
from uuid import UUID

from django.conf import settings

from miva.eventlog import Fence, fenced, log
from miva.protocol.events import Delta, Event, Reply

LONGEST_DELTA = 64 * 1024
"""Characters of one piece of an answer in the log, and so in a frame: small ones may be joined, larger ones are cut."""
MOST_PENDING = 256 * 1024
"""Characters that wait for a commit before the engine is read no further."""
_OVERHEAD = 100
"""What an event counts beside its text."""


class Outbox:
    """Logs the events of one attempt at a turn, in order, under its fence.

    `may_join` says whether pieces of the answer may be joined. `on_failure` hears once that nothing can be logged any
    more: FencedOff, NotFound, or the database's error.
    """

    def __init__(
        self, conversation_id: UUID, fence: Fence, on_failure: Callable[[BaseException], None], *, may_join: bool
    ) -> None:
        self._conversation_id = conversation_id
        self._fence = fence
        self._on_failure = on_failure
        self._may_join = may_join
        self._pending: list[Event] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def is_full(self) -> bool:
        """Whether `wait_for_room` would wait."""
        return self._size > MOST_PENDING

    def add(self, *events: Event) -> None:
        """Takes events to be logged soon."""
        if self._failure is not None or not events:
            return
        self._pending += events
        self._size += sum(map(_size, events))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="outbox")

    async def wait_for_room(self) -> None:
        """Waits until so much is logged that more may be added."""
        while self.is_full and self._writing is not None:
            await asyncio.shield(self._writing)

    async def close(self) -> list[Event]:
        """Waits for what is being logged; returns what is not, to go with the turn's end. Raises what has failed."""
        pending, self._pending, self._size = self._pending, [], 0
        if self._writing is not None:
            await asyncio.shield(self._writing)
        if self._failure is not None:
            raise self._failure
        return fitted(pending, may_join=self._may_join)

    async def _write(self) -> None:
        try:
            while self._pending:
                events, self._pending, self._size = fitted(self._pending, may_join=self._may_join), [], 0
                await log.append(self._conversation_id, fenced(self._fence, events, settings.MIVA_LEASE_S))
        except Exception as why:
            self._failure = why
            self._pending, self._size = [], 0
            self._on_failure(why)
        finally:
            self._writing = None


def fitted(events: Iterable[Event], *, may_join: bool) -> list[Event]:
    """The same events, with pieces of the answer of LONGEST_DELTA each at most; neighbouring ones joined to that where
    they may be."""
    told: list[Event] = []
    for is_delta, neighbours in groupby(events, key=_is_delta):
        if not is_delta:
            told += neighbours
            continue
        texts = [event.text for event in neighbours if isinstance(event, Delta)]
        for text in ["".join(texts)] if may_join else texts:
            told += [Delta(text[start : start + LONGEST_DELTA]) for start in range(0, len(text), LONGEST_DELTA)]
    return told


def _size(event: Event) -> int:
    match event:
        case Delta(text):
            return len(text) + _OVERHEAD
        case Reply(frame, text):
            return len(frame) + len(text) + _OVERHEAD
        case _:
            return _OVERHEAD


def _is_delta(event: Event) -> bool:
    return type(event) is Delta
