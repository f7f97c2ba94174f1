"""What questions and sentences mean, for threads that look for passages: vectors from the queue, late ones kept.

Who asks a second time about the same pages does not wait for the sentences of those pages again: picking the best
sentence is most of what a question costs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait

import numpy as np
from numpy.typing import NDArray

from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.sentence_ranking import Embed
from miva.engine.vectors import DIMENSION, Vectors

logger = logging.getLogger("miva.engine")

EMBED_S = 5.0
"""A question waits so long for the model, then is answered by its words alone."""
MOST_KEPT = 8000
"""Vectors that are kept, of the texts used last: 12 MB."""


class Meaning:
    """The vectors of texts by the text's hash; `forget` when a document has to leave nothing behind."""

    def __init__(self, queue: EmbeddingQueue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._forgotten = 0
        self._coming: dict[bytes, Future[None]] = {}

    @property
    def dimension(self) -> int:
        """The components of a vector; 0 where the model is not installed. It may still be loading, for a second."""
        return 0 if self._queue.state == "missing" else DIMENSION

    def embed(self, loop: asyncio.AbstractEventLoop) -> Embed:
        """What gives a thread the vectors of some texts, or None where there is no model or it does not answer in time;
        the queue's answers come over `loop`. Where something is forgotten meanwhile, nothing of it is kept."""
        forgotten = self._forgotten

        def embed(texts: Sequence[str]) -> Vectors | None:
            keys = [_key(text) for text in texts]
            wait(filter(None, map(self._coming.get, keys)), EMBED_S)
            known = self._find(keys)
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            if missing:
                made = self._make(list(missing.values()), loop)
                if made is None:
                    return None
                known |= self._keep(missing, made, forgotten)
            return np.stack([known[key] for key in keys]) if keys else np.zeros((0, DIMENSION), np.float32)

        return embed

    def expect(self, text: str, loop: asyncio.AbstractEventLoop) -> None:
        """Begins with a text that a thread is about to ask for; to be called in the thread of `loop`."""
        key = _key(text)
        if self.dimension and key not in self._coming and not self._find([key]):
            self._coming[key] = asyncio.run_coroutine_threadsafe(self._expected(key, text, self._forgotten), loop)

    async def _expected(self, key: bytes, text: str, forgotten: int) -> None:
        try:
            self._keep([key], await self._queue.question([text]), forgotten)
        except Exception as why:  # whoever asks for it tries again, and tells
            logger.debug("A question could not be embedded ahead (%r)", why)
        finally:
            del self._coming[key]

    def forget(self) -> None:
        """Keep nothing of what was embedded so far."""
        with self._lock:
            self._forgotten += 1
            self._kept.clear()

    def _make(self, texts: Sequence[str], loop: asyncio.AbstractEventLoop) -> Vectors | None:
        if not self.dimension:
            return None
        waiting = asyncio.run_coroutine_threadsafe(self._queue.question(texts), loop)
        try:
            return waiting.result(EMBED_S)
        except TimeoutError:
            waiting.cancel()
        except Exception as why:  # whatever the model's runtime raises: the words are still there
            logger.warning("A question was answered by its words alone (%r)", why)
        return None

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
            return known

    def _keep(self, keys: Iterable[bytes], rows: Vectors, forgotten: int) -> dict[bytes, NDArray[np.float32]]:
        made = {key: row.copy() for key, row in zip(keys, rows, strict=True)}  # a view would keep all rows
        with self._lock:
            if forgotten == self._forgotten:
                self._kept |= made
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
