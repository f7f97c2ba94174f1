"""A conversation's log as server-sent events: the same reader as a socket's, over one HTTP answer that stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from miva import sockets, stopping
from miva.follower import Follower
from miva.identity import Speaker
from miva.limits import limits
from miva.models import Conversation
from miva.protocol import v1
from miva.protocol.errors import NotFound, RateLimited
from miva.protocol.events import Failed, Gap, Place

STILL_HERE_S = 15.0
"""How often a silent stream says that it lives, so that no proxy on the way closes it."""
BEGIN_WITHIN_S = 30.0
"""A stream that no server has begun to send by then never will be: its client was gone."""


class EventStream:
    """One stream of one caller; iterate `chunks` once."""

    def __init__(self, speaker: Speaker, caller: str, conversation: Conversation, after: int) -> None:
        self.speaker = speaker
        self._caller = caller
        self._conversation = conversation
        self._after = after
        self._place: str | None = None
        self._follower: Follower | None = None

    async def open(self) -> None:
        """Takes one of the caller's places for open connections; raises RateLimited where all are taken."""
        self._place = await limits.take_socket(self._caller)
        if self._place is None:
            raise RateLimited("Too many connections are open for this user. Close one of them first.")
        asyncio.get_running_loop().call_later(BEGIN_WITHIN_S, self._give_up)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The text of the stream, until its client goes, its login ends or the server stops."""
        conversation = self._conversation
        follower = self._follower = Follower(conversation.pk, conversation.label, self._after)
        endings = [sockets.watch(self), stopping.subscribe(follower.close)]
        try:
            yield b": the events of one conversation\n\n"  # so that the answer's beginning leaves at once
            while True:
                try:
                    async with asyncio.timeout(STILL_HERE_S):
                        found = await anext(follower)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if isinstance(found, Gap):
                    yield _written(found.head, v1.encode(found, Place(follower.label)))
                else:
                    place = Place(found.label, str(found.turn_id), found.seq)
                    yield _written(found.seq, v1.encode(found.event, place))
        except StopAsyncIteration:
            return
        except NotFound as why:
            yield _written(None, v1.encode(Failed(why), Place(follower.label)))
        finally:
            follower.close()
            for end in endings:
                end()
            await self._leave()

    async def end_login(self) -> None:
        """Ends the stream; its client comes back as whoever it is then."""
        if self._follower is not None:
            self._follower.close()

    def _give_up(self) -> None:
        if self._follower is None:
            asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            await limits.give_back(self._caller, place)


def _written(id: int | None, frame: str | None) -> bytes:
    """One event of the stream; the frame is one line, as JSON is that was made without line breaks."""
    number = "" if id is None else f"id: {id}\n"
    return f"{number}data: {frame}\n\n".encode()
