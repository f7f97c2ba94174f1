"""Documents that are being sent: pages indexed in the background as they come, searchable before the last one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor

from miva.engine.frames import FrameError
from miva.engine.stores.base import Bookmark
from miva.engine.stores.sqlite_index import SqliteIndex

MAX_CHARACTERS = 50_000_000
_BATCH_CHARACTERS = 100_000
_BATCH_PAGES = 32
QUESTIONS_FIRST_S = 1.0
"""So long, in all, the indexing of a document makes way for questions about it."""

Report = Callable[[int, int], Awaitable[None]]


class Intake:
    """One document on its way in; `pages` is what its sender announced."""

    def __init__(self, pool: Executor, pages: int) -> None:
        self.index = SqliteIndex.in_memory()
        self.pages = pages
        self.done = 0
        self.chunks = 0
        """Known once the document has ended and all of it is indexed."""
        self.ended = False
        self._pool = pool
        self._pending: deque[tuple[int, str]] = deque()
        self._sent = 0
        self._characters = 0
        self._outline: Sequence[Bookmark] = ()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._step = asyncio.Event()  # set, and replaced, whenever more is indexed
        self._questions = 0
        self._unasked = asyncio.Event()
        self._makes_way_s = QUESTIONS_FIRST_S

    def add(self, page: int, text: str) -> None:
        """Queue a page. Raises `FrameError` where the document grows beyond every measure."""
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise FrameError(f"A document may have at most {MAX_CHARACTERS:,} characters.")
        self._pending.append((page, text))
        self._sent += 1
        self._idle.clear()
        self._news.set()

    def end(self, outline: Sequence[Bookmark] = ()) -> None:
        """No page comes after this; `outline` are the document's bookmarks."""
        self._outline = outline
        self.ended = True
        self._news.set()

    @property
    def idle(self) -> bool:
        """Whether every page sent so far is indexed."""
        return self._idle.is_set()

    @property
    def whole(self) -> bool:
        """Whether the document has ended and all of it is indexed."""
        return self.ended and self.idle

    @property
    def total(self) -> int:
        """How many pages it will have, as far as is known."""
        return max(self.pages, self.done + len(self._pending))

    async def settled(self, seconds: float) -> None:
        """Wait until every page that was sent up to now is indexed, but no longer than `seconds`.

        Pages that come meanwhile are not waited for: they may come faster than they are indexed.
        """
        sent, ended = self._sent, self.ended
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.done < sent or (ended and not self.idle):
                    await self._step.wait()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """While a question is answered from what is here, no more is indexed: it would have half of the processor."""
        self._questions += 1
        self._unasked.clear()
        try:
            yield
        finally:
            self._questions -= 1
            if not self._questions:
                self._unasked.set()

    async def run(self, report: Report) -> None:
        """Index pages until the document has ended, telling `report(done, total)` in pages after every batch."""
        loop = asyncio.get_running_loop()
        while self._pending or not self.ended:
            if not self._pending:
                self._idle.set()
                self._news.clear()
                await self._news.wait()
                continue
            if self._questions and self._makes_way_s > 0:
                await self._make_way()
            batch = self._next_batch()
            await loop.run_in_executor(self._pool, self.index.add_pages, batch)
            self.done += len(batch)
            self._tell_of_a_step()
            await report(self.done, self.total)
        if self._outline:
            await loop.run_in_executor(self._pool, self.index.set_outline, self._outline)
        self.chunks = self.index.chunk_count()
        self._idle.set()
        self._tell_of_a_step()

    async def _make_way(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._makes_way_s):
                await self._unasked.wait()
        self._makes_way_s -= time.monotonic() - began

    def _tell_of_a_step(self) -> None:
        self._step.set()
        self._step = asyncio.Event()

    def _next_batch(self) -> list[tuple[int, str]]:
        batch: list[tuple[int, str]] = []
        size = 0
        while self._pending and len(batch) < _BATCH_PAGES and size < _BATCH_CHARACTERS:
            batch.append(self._pending.popleft())
            size += len(batch[-1][1])
        return batch
