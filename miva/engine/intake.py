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
        self.whole = False
        """Whether the document has ended and all of it is indexed."""
        self._pool = pool
        self._pending: deque[tuple[int, str]] = deque()
        self._sent = 0
        self._characters = 0
        self._outline: Sequence[Bookmark] = ()
        self._changed = asyncio.Event()  # set, and replaced, whenever something of all this has changed
        self._questions = 0
        self._asked_of = 0
        self._asked_of_all = False
        self._makes_way_s = QUESTIONS_FIRST_S

    def add(self, page: int, text: str) -> None:
        """Queue a page. Raises `FrameError` where the document grows beyond every measure."""
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise FrameError(f"A document may have at most {MAX_CHARACTERS:,} characters.")
        self._pending.append((page, text))
        self._sent += 1
        self._tell()

    def end(self, outline: Sequence[Bookmark] = ()) -> None:
        """No page comes after this; `outline` are the document's bookmarks."""
        self._outline = outline
        self.ended = True
        self._tell()

    @property
    def total(self) -> int:
        """How many pages it will have, as far as is known."""
        return max(self.pages, self._sent)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """While a question is answered from the pages that were sent before it, no others are indexed.

        They would have half of the processor, and more would come as fast as they are indexed.
        """
        self._questions += 1
        self._asked_of, self._asked_of_all = self._sent, self.ended
        self._tell()
        try:
            yield
        finally:
            self._questions -= 1
            self._tell()

    async def settled(self, seconds: float) -> None:
        """Within `answering`: wait until all pages sent before it are indexed, but no longer than `seconds`."""
        pages, whole = self._asked_of, self._asked_of_all
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(lambda: self.whole or (self.done >= pages and not whole))

    async def run(self, report: Report) -> None:
        """Index pages until the document has ended, telling `report(done, total)` in pages after every batch."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until(lambda: self._pending or self.ended)
            if not self._pending:
                break
            await self._make_way()
            batch = self._next_batch()
            await loop.run_in_executor(self._pool, self.index.add_pages, batch)
            self.done += len(batch)
            self._tell()
            await report(self.done, self.total)
        if self._outline:
            await loop.run_in_executor(self._pool, self.index.set_outline, self._outline)
        self.chunks = self.index.chunk_count()
        self.whole = True
        self._tell()

    def _is_in_the_way(self) -> bool:
        """Whether all that is asked of is indexed, and nothing else should be just now."""
        return self._questions > 0 and self._makes_way_s > 0 and self.done >= self._asked_of

    async def _make_way(self) -> None:
        if not self._is_in_the_way():
            return
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._makes_way_s):
                await self._until(lambda: not self._is_in_the_way())
        self._makes_way_s -= time.monotonic() - began

    async def _until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _next_batch(self) -> list[tuple[int, str]]:
        batch: list[tuple[int, str]] = []
        size = 0
        asked_of = self._asked_of - self.done if self._questions else 0
        most = min(asked_of, _BATCH_PAGES) if asked_of > 0 else _BATCH_PAGES
        while self._pending and len(batch) < most and size < _BATCH_CHARACTERS:
            batch.append(self._pending.popleft())
            size += len(batch[-1][1])
        return batch
