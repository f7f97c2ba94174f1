"""The open sockets of this process: told when a login may have ended, and asked again from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from miva import database_away
from miva.hub import News, hub, owner_topic
from miva.identity import Speaker, seconds_left, still_valid
from miva.in_thread import in_thread
from miva.limits import limits

logger = logging.getLogger("miva.sockets")

RENEW_S = 20.0
CHECK_S = 60.0
"""How often every login behind a socket is looked up again, for changes that nobody told of."""


class Socket(Protocol):
    """What this module needs of a socket, or of a stream over HTTP."""

    speaker: Speaker

    async def end_login(self) -> None:
        """Ends it: its client comes back as whoever it is then."""


_open: set[Socket] = set()
_watch: asyncio.Task[None] | None = None
_checks: set[asyncio.Task[None]] = set()


def watch(socket: Socket) -> Callable[[], None]:
    """Ends a socket's login when it does not hold any more; to be called once it is open. Returns what ends that."""
    global _watch
    watched = _Watched(socket)
    _open.add(socket)
    if _watch is None or _watch.done():
        _watch = asyncio.create_task(_look_after(), name="sockets")
    return watched.end


class _Watched:
    """A socket that hears of its owner, and whose login may end by itself."""

    __slots__ = ("_deaf", "_socket", "_timer")

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._deaf = hub.subscribe(owner_topic(socket.speaker.owner_id), self._hear)
        left = seconds_left(socket.speaker)
        self._timer = None
        if left is not None:
            self._timer = asyncio.get_running_loop().call_later(left, lambda: _start(socket.end_login()))

    def end(self) -> None:
        _open.discard(self._socket)
        self._deaf()
        if self._timer is not None:
            self._timer.cancel()

    def _hear(self, news: News) -> None:
        if news.get("kind") == "check":
            _start(_check(self._socket))


def _start(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    _checks.add(task)
    task.add_done_callback(_checks.discard)


async def _check(socket: Socket) -> None:
    try:
        if not await in_thread(still_valid)(socket.speaker):
            await socket.end_login()
    except database_away.UNREACHABLE as why:  # in a minute again
        database_away.note(logger, logging.WARNING, "A login could not be looked up again (%s)", why)
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
                    await _check(socket)
