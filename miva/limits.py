"""How much one user may do: questions in a time, sockets at once; counted in Redis where several processes serve."""

from __future__ import annotations

import logging
import secrets
import time
from collections import defaultdict, deque
from uuid import uuid4

from django.conf import settings
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from miva.protocol.errors import RateLimited

logger = logging.getLogger("miva.limits")

REDIS_PATIENCE_S = 0.5
PRESENCE_S = 60
"""How long a socket counts after its process last said that it is open."""
_AWAY = (RedisError, OSError, TimeoutError, RuntimeError)


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
        self._redis: redis.Redis | None = None
        self._resting_until = 0.0

    async def take_question(self, caller: str) -> None:
        """Counts a question of a caller; raises RateLimited."""
        self._rate.take(caller, time.monotonic())
        most, seconds = settings.MIVA_RATE
        server = self._server()
        if server is None:
            return
        now = time.time()
        key, question = f"miva:rate:{caller}", secrets.token_hex(8)
        try:
            async with server.pipeline(transaction=True) as pipe:
                pipe.zremrangebyscore(key, 0, now - seconds)
                pipe.zcard(key)
                pipe.zrange(key, 0, 0, withscores=True)
                pipe.zadd(key, {question: now})
                pipe.expire(key, seconds + 1)
                _, asked, oldest, *_ = await pipe.execute()
        except _AWAY as why:
            self._rest(why)
            return
        if asked >= most:
            # A refused question does not count, or a client that keeps asking would never be let in again.
            self._rate.forget_newest(caller)
            await self._quietly_forget(server, key, question)
            raise RateLimited(retry_after=max(0.1, seconds - (now - oldest[0][1])))

    async def take_socket(self, caller: str) -> str | None:
        """A place for one more open socket of a caller, to be given back; None where all are taken."""
        place = uuid4().hex
        if len(self._open[caller]) >= settings.MIVA_SOCKETS:
            return None
        self._open[caller].add(place)
        server = self._server()
        if server is not None:
            now = time.time()
            key = f"miva:sockets:{caller}"
            try:
                async with server.pipeline(transaction=True) as pipe:
                    pipe.zremrangebyscore(key, 0, now)
                    pipe.zcard(key)
                    pipe.zadd(key, {place: now + PRESENCE_S})
                    pipe.expire(key, PRESENCE_S)
                    _, taken, *_ = await pipe.execute()
            except _AWAY as why:
                self._rest(why)
            else:
                if taken >= settings.MIVA_SOCKETS:
                    await self.give_back(caller, place)
                    return None
        return place

    async def give_back(self, caller: str, place: str) -> None:
        """Frees the place of a socket that closed."""
        self._open[caller].discard(place)
        if not self._open[caller]:
            del self._open[caller]
        server = self._server()
        if server is not None:
            await self._quietly_forget(server, f"miva:sockets:{caller}", place)

    async def renew_places(self) -> None:
        """Says again that this process's sockets are open; called more often than PRESENCE_S."""
        server = self._server()
        if server is None or not self._open:
            return
        until = time.time() + PRESENCE_S
        try:
            async with server.pipeline(transaction=False) as pipe:
                for caller, places in self._open.items():
                    pipe.zadd(f"miva:sockets:{caller}", dict.fromkeys(places, until))
                    pipe.expire(f"miva:sockets:{caller}", PRESENCE_S)
                await pipe.execute()
        except _AWAY as why:
            self._rest(why)

    async def _quietly_forget(self, server: redis.Redis, key: str, member: str) -> None:
        try:
            await server.zrem(key, member)
        except _AWAY as why:
            self._rest(why)

    def _server(self) -> redis.Redis | None:
        if not settings.REDIS_URL or time.monotonic() < self._resting_until:
            return None
        if self._redis is None:
            self._redis = redis.from_url(
                settings.REDIS_URL,
                socket_timeout=REDIS_PATIENCE_S,
                socket_connect_timeout=REDIS_PATIENCE_S,
                retry=Retry(NoBackoff(), 1),  # redis-py's own three retries wait for seconds, and a question with them
            )
        return self._redis

    def _rest(self, why: BaseException) -> None:
        """Lets a Redis that is away alone for some seconds, so that its time-outs do not slow every question."""
        logger.warning("Redis does not answer (%s); this process counts for itself for a while", why)
        self._resting_until = time.monotonic() + 5


limits = Limits()
"""The limits of this process."""
