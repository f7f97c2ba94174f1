"""Counts of attempts in a stretch of time, shared between processes where there is a Redis, and bounded in any case."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass

from django.core.cache import BaseCache, caches

from miva.protocol.errors import RateLimited

logger = logging.getLogger("miva.attempts")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts of one kind in `seconds` from the first, for one subject (an account, an address)."""

    kind: str
    most: int
    seconds: int

    def take(self, subject: str) -> None:
        """Counts one attempt; raises RateLimited, with the seconds to wait, where it is one too many.

        Counted before the attempt is made, so that attempts made at the same time cannot slip by together.
        """
        if self._change(subject, 1) > self.most:
            now = time.time()
            began = caches["local"].get(f"{self._key(subject)}:began", now)
            wait = max(1.0, began + self.seconds - now)
            raise RateLimited(f"Too many attempts. Please wait {in_words(wait)} and try again.", retry_after=wait)

    def allows(self, subject: str) -> bool:
        """Counts one attempt, and says whether it may be made."""
        return self._change(subject, 1) <= self.most

    def give_back(self, subject: str) -> None:
        """Takes one attempt off the count: it turned out to be an honest one."""
        self._change(subject, -1)

    def _key(self, subject: str) -> str:
        # Hashed: what people type has no bounds, and belongs into no cache in readable form.
        name = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return f"attempts:{self.kind}:{name}"

    def _change(self, subject: str, by: int) -> int:
        key = self._key(subject)
        caches["local"].add(f"{key}:began", time.time(), self.seconds)
        # This process counts as well, so that the limit still holds when the shared cache goes away in between.
        here = _add(caches["local"], key, by, self.seconds)
        if caches.settings["default"] == caches.settings["local"]:  # without a Redis both are one and the same
            return here
        try:
            return max(here, _add(caches["default"], key, by, self.seconds))
        except Exception as why:  # each cache client has errors of its own
            logger.warning("The shared cache is away (%s); attempts are counted in this process", type(why).__name__)
            return here


def _add(cache: BaseCache, key: str, by: int, seconds: int) -> int:
    cache.add(key, 0, seconds)
    try:
        return int(cache.incr(key, by))
    except ValueError:  # it ended just now
        return max(by, 0)


def in_words(seconds: float) -> str:
    """A stretch of time for a person: “40 seconds”, “3 minutes”."""
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes"
