"""The open sockets of this process: told when a login may have ended, and asked again from time to time."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from miva.identity import Speaker, still_valid
from miva.in_thread import in_thread
from miva.limits import limits

logger = logging.getLogger("miva.sockets")

RENEW_S = 20.0
CHECK_S = 60.0
"""How often every login behind a socket is looked up again, for changes that nobody told of."""


class Socket(Protocol):
    """What this module needs of a consumer."""

    speaker: Speaker

    async def end_login(self) -> None: ...


_open: set[Socket] = set()
_watch: asyncio.Task[None] | None = None


def opened(socket: Socket) -> None:
    """Notes an accepted socket, and starts the watch over all of them with the first."""
    global _watch
    _open.add(socket)
    if _watch is None or _watch.done():
        _watch = asyncio.create_task(_look_after(), name="sockets")


def closed(socket: Socket) -> None:
    _open.discard(socket)


async def check(socket: Socket) -> None:
    """Closes a socket whose login does not hold any more."""
    try:
        if not await in_thread(still_valid)(socket.speaker):
            await socket.end_login()
    except Exception:
        logger.exception("A login could not be looked up again")


async def _look_after() -> None:
    waited = 0.0
    while _open:
        await asyncio.sleep(RENEW_S)
        await limits.renew_places()
        waited += RENEW_S
        if waited >= CHECK_S:
            waited = 0.0
            for socket in list(_open):
                if socket.speaker.token or socket.speaker.session_key:
                    await check(socket)
