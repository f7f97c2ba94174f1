"""Gives documents their vectors in the background, so that they are found by words at once and by meaning soon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import numpy as np

from miva.engine.embedding.queue import EmbeddingQueue, QueueClosed
from miva.engine.embedding.weights import ModelMissing
from miva.engine.stores.base import Index, StoreError, VectorStore
from miva.engine.text import is_latin, one_line
from miva.engine.vectors import DIMENSION, Vectors

logger = logging.getLogger("miva.engine")

_STEP_CHUNKS = 64
"""Embedded between two writes: what a stop of the engine can cost."""
_SHORT = 8
"""So few chunks, or the last few of more, are embedded as a question is: they wait for no long document."""
_AT_ONCE = 16
"""Documents; the queue is fair between them."""


class Vectoriser:
    """One task for each document that lacks vectors. All methods belong to one event loop."""

    def __init__(self, queue: EmbeddingQueue, pool: Executor) -> None:
        self._queue = queue
        self._pool = pool
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    def start(
        self, document: str, open_index: Callable[[], Index | None], vectors: VectorStore, *, closes: bool
    ) -> None:
        """Begins, or goes on, with a document; does nothing where that is being done already, or there is no model.

        `closes`: whether the index is this one's own, to be closed when it is done.
        """
        if document not in self._tasks and self._queue.state != "missing":
            task = asyncio.create_task(self._work(document, open_index, vectors, closes), name="vectors")
            self._tasks[document] = task
            task.add_done_callback(lambda _: self._tasks.pop(document, None))

    def works_at(self, document: str) -> bool:
        """Whether a document is getting vectors."""
        return document in self._tasks

    async def settled(self, document: str, seconds: float) -> None:
        """Returns once a document has all its vectors, but no later than in `seconds`."""
        if (task := self._tasks.get(document)) is not None:
            await asyncio.wait((task,), timeout=seconds)

    async def stop(self, document: str) -> None:
        """Returns once nothing is written for a document any more."""
        self._queue.drop(document)
        if (task := self._tasks.get(document)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(
        self, document: str, open_index: Callable[[], Index | None], vectors: VectorStore, closes: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        index: Index | None = None
        async with self._places:
            try:
                index = await loop.run_in_executor(self._pool, open_index)
                expected = 0
                while index is not None:
                    first = await loop.run_in_executor(self._pool, vectors.count, document)
                    if first < expected:  # the document has gone meanwhile, and its vectors with it
                        return
                    texts = await loop.run_in_executor(self._pool, index.chunk_texts, first, _STEP_CHUNKS)
                    if not texts:
                        return
                    rows = await self._rows(document, [one_line(text) for text in texts])
                    await to_its_end(loop.run_in_executor(self._pool, vectors.add, document, first, rows))
                    expected = first + len(rows)
            except (QueueClosed, ModelMissing):  # the queue has told why
                return
            except StoreError as why:
                logger.warning("A document stays without vectors for now: %s", why)
            except Exception:  # whatever the model's runtime raises; the next question about it tries again
                logger.exception("A document stays without vectors for now")
            finally:
                if closes and index is not None:
                    index.close()

    async def _rows(self, document: str, texts: list[str]) -> Vectors:
        """A row for each text; one that the model cannot read costs nothing."""
        rows = np.zeros((len(texts), DIMENSION), np.float32)
        readable = [number for number, text in enumerate(texts) if is_latin(text)]
        if readable:
            rows[readable] = await self._embedded(document, [texts[number] for number in readable])
        return rows

    async def _embedded(self, document: str, texts: list[str]) -> Vectors:
        if len(texts) <= _SHORT:
            return await self._queue.question(texts)
        return await asyncio.wrap_future(self._queue.ingest(texts, key=document))


async def to_its_end(work: Awaitable[None]) -> None:
    """Waits for what a thread writes also where this task is stopped, once or several times: what follows a
    stop must follow its end."""
    writing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        while not writing.done():
            with contextlib.suppress(asyncio.CancelledError):  # whoever else stops it waits for the same end
                await asyncio.wait((writing,))
        raise
