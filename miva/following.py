"""The conversations that one socket follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from miva.follower import Follower
from miva.protocol.errors import Internal, NotFound
from miva.protocol.events import Event, Failed, Gap, Place

logger = logging.getLogger("miva.following")

Tell = Callable[[Event, Place | None], Awaitable[None]]
"""Gives a client an event, with its place where it belongs to a conversation; does nothing once the client is gone."""

MOST_FOLLOWED = 200
"""Conversations that one socket follows; with one more, that which was asked in or resumed longest ago is let go."""


class Following:
    """Tells a socket the events of its conversations; one slow socket waits for itself alone."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._followers: dict[UUID, Follower] = {}
        self._tasks: dict[Follower, asyncio.Task[None]] = {}
        """Also of followers that were let go and still write what they had."""
        self._turn = asyncio.Lock()
        """One conversation's page at a time is in memory, however many wait for a client that does not read."""

    def __contains__(self, conversation_id: UUID) -> bool:
        return conversation_id in self._followers

    def of_label(self, label: str | None) -> tuple[UUID, str] | None:
        """The conversation of this name that is followed: its key and its name."""
        return next(((id, follower.label) for id, follower in self._followers.items() if follower.label == label), None)

    def follow(self, conversation_id: UUID, label: str, after: int) -> None:
        """Tells every event after this one; a conversation that is followed already goes on from there."""
        follower = self._followers.pop(conversation_id, None)
        if follower is not None:
            follower.move(after)
        else:
            if len(self._followers) >= MOST_FOLLOWED:
                self._followers.pop(next(iter(self._followers))).close()
            follower = Follower(conversation_id, label, after)
            self._tasks[follower] = asyncio.create_task(self._pass_on(follower), name="follower")
        self._followers[conversation_id] = follower  # the last one now

    def used(self, conversation_id: UUID) -> None:
        """Notes that the client has just asked in a conversation that it follows."""
        self._followers[conversation_id] = self._followers.pop(conversation_id)

    async def close(self) -> None:
        """Tells no more."""
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_page(self, follower: Follower) -> None:
        while (found := await follower.read()) is not None:
            if isinstance(found, Gap):
                await self._tell(found, Place(follower.label))
            else:
                await self._tell(found.event, Place(found.label, str(found.turn_id), found.seq))
            if not follower.has_page:  # the other conversations have their turn
                return

    async def _pass_on(self, follower: Follower) -> None:
        try:
            while await follower.wait():
                async with self._turn:
                    await self._tell_page(follower)
        except NotFound as why:
            await self._tell(Failed(why), Place(follower.label))
        except Exception:
            logger.exception("A conversation could not be followed")
            await self._tell(Failed(Internal()), Place(follower.label))
        finally:
            follower.close()
            self._tasks.pop(follower, None)
            if self._followers.get(follower.conversation_id) is follower:
                del self._followers[follower.conversation_id]
