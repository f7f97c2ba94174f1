"""What one user does, counted in Redis for all processes together. Imported where REDIS_URL is set: redis-py is a
sixth of what a server imports."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from redis import asyncio as redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

logger = logging.getLogger("miva.limits")

PATIENCE_S = 0.5
REST_S = 5.0
"""So long a Redis that is away is let alone, so that its time-outs do not slow every question."""
PRESENCE_S = 60
"""How long a socket counts after its process last said that it is open."""
_AWAY = (RedisError, OSError, TimeoutError, RuntimeError)


class RedisCounts:
    """The counts in one Redis. While it is away every answer is yes: each process then counts for itself.

    Commands may be carried out twice, where Redis answered too late and was asked again: what is to be counted is
    therefore added first, under its own name, and counted with the rest.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 1),  # redis-py's own three retries wait for seconds, and a question with them
        )
        self._resting_until = 0.0
        self._owed: dict[str, tuple[str, float]] = {}  # places given back in vain: whose, and until when they count

    async def take_question(self, caller: str, most: int, seconds: float) -> float:
        """Counts a question; for one more than `most` within so many seconds the seconds to wait, else 0.

        A refused question does not count, or a client that keeps asking would never be let in again.
        """
        now = time.time()
        key, question = f"miva:rate:{caller}", secrets.token_hex(8)
        pipe = self._redis.pipeline()
        pipe.zremrangebyscore(key, 0, now - seconds)
        pipe.zadd(key, {question: now})
        pipe.zcard(key)
        pipe.zrange(key, 0, 0, withscores=True)
        pipe.expire(key, int(seconds) + 1)
        _, _, asked, oldest, _ = await self._answers(pipe) or (0, 0, 0, [], 0)
        if asked <= most:
            return 0.0
        await self._forget(key, question)
        return max(0.1, seconds - (now - float(oldest[0][1])))

    async def take_socket(self, caller: str, place: str, most: int) -> bool:
        """Counts an open socket by its place; False where there are `most` already."""
        now = time.time()
        key = f"miva:sockets:{caller}"
        pipe = self._redis.pipeline()
        pipe.zremrangebyscore(key, 0, now)
        pipe.zadd(key, {place: now + PRESENCE_S})
        pipe.zcard(key)
        pipe.expire(key, PRESENCE_S)
        _, _, taken, _ = await self._answers(pipe) or (0, 0, 0, 0)
        if taken <= most:
            return True
        await self.give_back(caller, place)
        return False

    async def give_back(self, caller: str, place: str) -> None:
        """Takes a socket out of the count; while Redis is away, with the next renewal."""
        if not await self._forget(f"miva:sockets:{caller}", place):
            self._owed[place] = caller, time.time() + PRESENCE_S

    async def renew(self, places: Mapping[str, Iterable[str]]) -> None:
        """Says that the sockets of these callers are still open, and which are not, where that could not be said."""
        now = time.time()
        owed = self._owed = {place: debt for place, debt in self._owed.items() if debt[1] > now}
        if not places and not owed:
            return
        pipe = self._redis.pipeline(transaction=False)
        for place, (caller, _) in owed.items():
            pipe.zrem(f"miva:sockets:{caller}", place)
        for caller, own in places.items():
            pipe.zadd(f"miva:sockets:{caller}", dict.fromkeys(own, now + PRESENCE_S))
            pipe.expire(f"miva:sockets:{caller}", PRESENCE_S)
        sent = list(owed)
        if await self._answers(pipe) is not None:
            for place in sent:
                del owed[place]

    async def _forget(self, key: str, member: str) -> bool:
        pipe = self._redis.pipeline()
        pipe.zrem(key, member)
        return await self._answers(pipe) is not None

    async def _answers(self, pipe: Pipeline) -> list[Any] | None:
        """What Redis says to these commands; None while it is away."""
        if time.monotonic() < self._resting_until:
            return None
        try:
            async with pipe:
                return list(await pipe.execute())
        except _AWAY as why:
            logger.warning("Redis does not answer (%s); this process counts for itself for a while", why)
            self._resting_until = time.monotonic() + REST_S
            return None
