"""How much one user may do: questions in a time, sockets at once; counted in Redis where several processes serve."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING
from uuid import uuid4

from django.conf import settings

from miva.protocol.errors import RateLimited

if TYPE_CHECKING:
    from miva.redis_counts import RedisCounts


class Rate:
    """At most `most` questions of one caller within any `seconds`, counted in this process."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)
        self._swept = 0.0

    def take(self, caller: str, now: float) -> None:
        """Counts a question; raises RateLimited, with the seconds to wait, for one too many."""
        self._sweep(now)
        asked = self._asked[caller]
        while asked and now - asked[0] >= self._seconds:
            asked.popleft()
        if len(asked) >= self._most:
            raise RateLimited(retry_after=self._seconds - (now - asked[0]))
        asked.append(now)

    def forget_newest(self, caller: str) -> None:
        """Takes the last question of a caller out of the count."""
        if self._asked[caller]:
            self._asked[caller].pop()

    def _sweep(self, now: float) -> None:
        """Forgets callers that have been silent, now and then, so that memory does not grow with them."""
        if now - self._swept < self._seconds:
            return
        self._swept = now
        for caller in [
            caller for caller, asked in self._asked.items() if not asked or now - asked[-1] >= self._seconds
        ]:
            del self._asked[caller]


class Limits:
    """The limits of this process, shared over Redis while it answers; without it each process counts for itself."""

    def __init__(self) -> None:
        self._rate = Rate(*settings.MIVA_RATE)
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        self._counts: RedisCounts | None = None
        self._shared()  # now: to import redis-py with the first socket would hold up the event loop

    async def take_question(self, caller: str) -> None:
        """Counts a question of a caller; raises RateLimited."""
        self._rate.take(caller, time.monotonic())
        shared = self._shared()
        wait_s = await shared.take_question(caller, *settings.MIVA_RATE) if shared is not None else 0.0
        if wait_s:
            self._rate.forget_newest(caller)  # as there: a refused question does not count
            raise RateLimited(retry_after=wait_s)

    async def take_socket(self, caller: str) -> str | None:
        """A place for one more open socket of a caller, to be given back; None where all are taken."""
        place = uuid4().hex
        if len(self._open[caller]) >= settings.MIVA_SOCKETS:
            return None
        self._open[caller].add(place)
        shared = self._shared()
        if shared is not None and not await shared.take_socket(caller, place, settings.MIVA_SOCKETS):
            self._close(caller, place)
            return None
        return place

    async def give_back(self, caller: str, place: str) -> None:
        """Frees the place of a socket that closed."""
        self._close(caller, place)
        if (shared := self._shared()) is not None:
            await shared.give_back(caller, place)

    async def renew_places(self) -> None:
        """Says again which of this process's sockets are open; called more often than they are forgotten."""
        if (shared := self._shared()) is not None:
            await shared.renew(self._open)

    def _close(self, caller: str, place: str) -> None:
        self._open[caller].discard(place)
        if not self._open[caller]:
            del self._open[caller]

    def _shared(self) -> RedisCounts | None:
        if self._counts is None and settings.REDIS_URL:
            from miva.redis_counts import RedisCounts

            self._counts = RedisCounts(settings.REDIS_URL)
        return self._counts


limits = Limits()
"""The limits of this process."""
