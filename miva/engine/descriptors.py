"""File descriptors: as many as the system gives, shared so that questions about many documents do not run out."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator

_WITHOUT_LIMIT = 10_240
"""What a system gives that calls its limit infinite and still refuses an infinite one (macOS)."""


def raise_limit() -> None:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _WITHOUT_LIMIT):
        if soft == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and wanted <= soft):
            return
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def for_documents() -> Descriptors:
    """Half of what this process may have: the rest is for its connections, and for what is written."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Descriptors(sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft // 2))


class Descriptors:
    """At most `most` at a time; who wants more than are free waits, in the order of asking."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._turn = asyncio.Lock()
        self._given_back = asyncio.Event()

    @contextlib.asynccontextmanager
    async def taken(self, count: int) -> AsyncIterator[None]:
        """With `count` of them; who wants more than there are has them all, and may fail."""
        count = min(count, self._most)
        async with self._turn:
            while self._free < count:
                self._given_back.clear()
                await self._given_back.wait()
            self._free -= count
        try:
            yield
        finally:
            self._free += count
            self._given_back.set()
