"""A reader of one conversation's log: every event after a cursor, in order, none twice, then those that come."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from miva import eventlog
from miva.database_away import note
from miva.eventlog import Stored
from miva.hub import News, hub, shared_layer
from miva.protocol.errors import NotFound
from miva.protocol.events import Delta, Done, Event, Gap, Reply

logger = logging.getLogger("miva.follower")

POLL_S, POLL_ALONE_S = 2.0, 0.5
"""How often the heads of all followed conversations are looked up: usually, and while the layer between processes is
away. What the layer loses is late by that much."""
MOST_HELD, MOST_CHARACTERS = 20, 128 * 1024
"""Events, and characters in them, held in memory while the log is read; beyond, they are read from the log instead."""
PAUSE_S = 0.5
"""Before a database that failed is asked again."""


class Follower:
    """Iterate it. Each step is the next event, or a Gap where events are not kept: it goes on behind the gap by itself.

    Nothing waits in memory for a reader that is slow: of news that comes while it writes only the number is kept, and
    the log is read, a page at a time, when it asks for more. Raises NotFound once the conversation is gone.
    """

    __slots__ = (
        "_ahead",
        "_bell",
        "_deaf",
        "_end",
        "_head",
        "_held",
        "_is_closed",
        "_is_gone",
        "_is_waited_for",
        "_moves",
        "_must_look",
        "conversation_id",
        "label",
    )

    def __init__(self, conversation_id: UUID, label: str, after: int) -> None:
        self.conversation_id = conversation_id
        self.label = label
        """The conversation's name, for what is told of it as a whole."""
        self._end = self._head = after
        """The last event that was given out, or is in `_ahead` to be; the highest number heard of."""
        self._ahead: list[Stored] = []
        self._held: list[Stored] = []
        """News without a hole in it that came while the reader waited for it."""
        self._is_waited_for = False
        self._must_look = True
        """Whether there may be events in the log that were not heard of."""
        self._moves = 0
        self._is_gone = self._is_closed = False
        self._bell: asyncio.Future[None] | None = None
        self._deaf = hub.subscribe(eventlog.topic(conversation_id), self._hear)
        _enrol(self)

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Stored | Gap:
        while await self.wait():
            if (found := await self.read()) is not None:
                return found
        raise StopAsyncIteration

    @property
    def has_page(self) -> bool:
        """Whether the next events are in memory already."""
        return bool(self._ahead)

    async def wait(self) -> bool:
        """Returns once there may be something to read, False once it is closed. Reads nothing itself."""
        self._is_waited_for = True
        try:
            while not (self._ahead or self._must_look or self._head > self._end or self._is_gone or self._is_closed):
                self._bell = asyncio.get_running_loop().create_future()
                await self._bell
        finally:
            self._bell = None
            self._is_waited_for = False
        return not self._is_closed

    async def read(self) -> Stored | Gap | None:
        """The next event, None where nothing is there now. Raises NotFound."""
        self._is_waited_for = True
        try:
            while not self._ahead:
                if self._is_closed:
                    return None
                if self._is_gone:
                    raise NotFound("This conversation was deleted.")
                if self._take_held():
                    break
                if not self._must_look and self._head <= self._end:
                    return None
                if gap := await self._look():
                    return gap
        finally:
            self._is_waited_for = False
        return self._ahead.pop(0)

    def move(self, after: int) -> None:
        """Goes on behind another event, as if it had begun there."""
        self._moves += 1
        self._ahead.clear()
        self._held.clear()
        self._end = self._head = after
        self._must_look = True
        self._ring()

    def close(self) -> None:
        """Ends the iteration; safe to call again."""
        if not self._is_closed:
            self._is_closed = True
            self._ahead.clear()
            self._held.clear()
            self._deaf()
            _dismiss(self)
            self._ring()

    def look_at(self, head: int | None) -> None:
        """Learns the conversation's head, None where the conversation is gone."""
        self._is_gone = self._is_gone or head is None
        self._head = max(self._head, head or 0)
        if self._is_gone or self._head > self._end:
            self._ring()

    def _hear(self, news: News) -> None:
        if self._is_waited_for and (stored := eventlog.told(news)):
            if self._held and (self._held[-1].seq + 1 != stored[0].seq or _is_much(self._held)):
                self._held.clear()
            self._held += stored
        self.look_at(news["head"])

    def _take_held(self) -> bool:
        """Goes on with the news that was held, where it follows on what was given out."""
        new, self._held = self._held, []
        if new and new[0].seq <= self._end:
            new = [stored for stored in new if stored.seq > self._end]
        if not new or new[0].seq != self._end + 1:
            return False
        self._ahead = new
        self._end = new[-1].seq
        self._must_look = False
        return True

    async def _look(self) -> Gap | None:
        """Reads the next page of the log into `_ahead`."""
        moves, head = self._moves, self._head
        try:
            found = await eventlog.since(self.conversation_id, self._end)
        except NotFound:
            self._is_gone = True
            return None
        except (DatabaseError, InterfaceError) as why:
            note(logger, logging.WARNING, "The log could not be read (%s); trying again", why)
            await asyncio.sleep(PAUSE_S)
            return None
        if moves != self._moves or self._is_closed:  # moved meanwhile
            return None
        if isinstance(found, Gap):
            self._end = self._head = found.head
            self._must_look = True
            return found
        if found:
            self._ahead = found
            self._end = found[-1].seq
        else:
            self._must_look = False
            if self._head == head:  # nothing was heard of meanwhile, so nothing is there
                self._head = self._end
        return None

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)


def _is_much(held: list[Stored]) -> bool:
    return len(held) >= MOST_HELD or sum(_characters(stored.event) for stored in held) >= MOST_CHARACTERS


def _characters(event: Event) -> int:
    match event:
        case Delta(text):
            return len(text)
        case Reply(frame, text):
            return len(frame) + len(text)
        case Done(text, html=html):
            return len(text) + len(html)
        case _:
            return 0


_followers: defaultdict[UUID, set[Follower]] = defaultdict(set)
_poll: asyncio.Task[None] | None = None


def _enrol(follower: Follower) -> None:
    global _poll
    _followers[follower.conversation_id].add(follower)
    if _poll is None or _poll.done():
        _poll = asyncio.create_task(_look_after(), name="followers")


def _dismiss(follower: Follower) -> None:
    _followers[follower.conversation_id].discard(follower)
    if not _followers[follower.conversation_id]:
        del _followers[follower.conversation_id]


async def _look_after() -> None:
    """Asks for the heads of all followed conversations from time to time, as long as there are any."""
    waited = 0.0
    while _followers:
        await asyncio.sleep(POLL_ALONE_S)
        waited += POLL_ALONE_S
        if waited >= POLL_S or (shared_layer() is not None and not hub.connected):
            waited = 0.0
            await _look_up()


async def _look_up() -> None:
    followed = list(_followers)
    try:
        heads = await eventlog.heads(followed)
    except (DatabaseError, InterfaceError) as why:
        note(logger, logging.WARNING, "The heads of conversations could not be looked up (%s)", why)
        return
    for conversation_id in followed:
        for follower in tuple(_followers.get(conversation_id, ())):
            follower.look_at(heads.get(conversation_id))
