"""Embedding beside everything else: questions at once, documents in fair turns, in a few threads with one model.

The last thread has a lower priority, for good: a thread may lower its own without asking, and not raise it again. So
a question waits for no document, and on a machine with nothing to spare it has nine tenths of a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

import numpy as np

from miva.engine.embedding.model import Embedder, Stopped
from miva.engine.embedding.turns import Job, Turns
from miva.engine.embedding.weights import ModelMissing
from miva.engine.vectors import DIMENSION, Vectors

State = Literal["loading", "loaded", "missing"]

TURN_TEXTS = 16
"""Texts of one document in a turn; with chunks of 128 tokens about 120 ms of CPU with int8, 380 ms with float32."""

_ANSWERING = 2
"""Threads for questions, on a machine with so many processors: what one question has to read is shared by them."""
_SHARED_CHARACTERS = 200
"""What a thread is given of a question at least; a run of the model for less costs more than it spares."""
_BACKGROUND_NICE = 10
_CLOSING_S = 5.0

logger = logging.getLogger(__name__)


class QueueClosed(Exception):
    """The queue was closed; nothing is embedded any more."""


class EmbeddingQueue:
    """Loads the embedder in the background, at once, and lets everybody use it. All methods may be called anywhere.

    `folder` is where the model's file is kept; `load` makes the embedder of it.
    """

    def __init__(self, folder: Path, load: Callable[[Path], Embedder] = Embedder.load) -> None:
        self._folder = folder
        self._load = load
        self._embedder: Embedder | None = None
        self._state: State = "loading"
        self._reason = ""
        self._closed = False
        self._changed = threading.Condition()  # guards all of this
        self._questions: deque[Job] = deque()
        self._turns = Turns()
        self._answering = min(_ANSWERING, _processors())
        work = [self._load_and_answer, *[self._answer_questions] * (self._answering - 1)]
        self._threads = [threading.Thread(target=one, name="embed-questions", daemon=True) for one in work]
        self._threads.append(threading.Thread(target=self._take_turns, name="embed-documents", daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def state(self) -> State:
        """Whether the model is there; why not is told by `reason`."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the model is missing, as a sentence; else empty."""
        return self._reason

    @property
    def dimension(self) -> int | None:
        """The length of the vectors, 384, once the model is loaded."""
        return DIMENSION if self._state == "loaded" else None

    async def question(self, texts: Sequence[str]) -> Vectors:
        """The vectors of a few texts, before any document's: float32 [texts, 384].

        Waits for the model while it loads (ask `state` first where that is too long). Cancelling the wait stops the
        work. Raises `ModelMissing` and `QueueClosed`.
        """
        shares = _shares(texts, self._answering)
        jobs = [Job([texts[place] for place in places]) for places in shares]
        with self._changed:
            self._check_open()
            self._questions.extend(jobs)
            self._changed.notify_all()
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        try:
            parts = await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        finally:
            for job in jobs:  # where one failed or nobody waits any more
                job.future.cancel()
        for places, rows in zip(shares, parts, strict=True):
            vectors[places] = rows
        return vectors

    def ingest(self, texts: Sequence[str], *, key: Hashable = None) -> Future[Vectors]:
        """The vectors of a document's texts, in their order, when its turns have come: float32 [texts, 384].

        `key` names the document; keys take turns of `TURN_TEXTS` texts, and what one key hands in is done in order.
        The future may be cancelled at any time, and fails with `ModelMissing` where there turns out to be no model, or
        `QueueClosed`. Raises these two where that is known already.
        """
        job = Job(texts)
        with self._changed:
            self._check_open()
            self._turns.add(key, job)
            self._changed.notify_all()
        return job.future

    def drop(self, key: Hashable) -> None:
        """Forget what waits of a document: its futures are cancelled. A turn of it that is running stops soon."""
        with self._changed:
            self._turns.drop(key)

    def close(self) -> None:
        """Fail all that waits with `QueueClosed` and end the threads. A second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._fail_waiting(QueueClosed("The engine is stopping."))
        for thread in self._threads:
            thread.join(_CLOSING_S)

    def _check_open(self) -> None:
        if self._closed:
            raise QueueClosed("The engine is stopping.")
        if self._state == "missing":
            raise ModelMissing(self._reason)

    def _fail_waiting(self, error: Exception) -> None:
        with self._changed:
            waiting = [*self._questions, *self._turns.take_all()]
            self._questions.clear()
        for job in waiting:
            job.fail(error)

    def _load_and_answer(self) -> None:
        """The first thread: loads the model, then does as the others that answer questions."""
        self._load_embedder()
        self._answer_questions()

    def _answer_questions(self) -> None:
        """Embeds questions in the order they came."""
        embedder = self._loaded()
        while embedder is not None:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._questions)
                if self._closed:
                    return
                job = self._questions.popleft()
            self._work(embedder, job, len(job.texts))

    def _loaded(self) -> Embedder | None:
        """The embedder, once it is known whether there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._state != "loading")
            return self._embedder

    def _load_embedder(self) -> None:
        try:
            embedder = self._load(self._folder)
        except Exception as error:
            if not isinstance(error, ModelMissing):
                logger.exception("the embedding model could not be loaded")
            with self._changed:
                self._reason = _why_missing(error)
                self._state = "missing"
                if not self._closed:
                    logger.warning("%s Until then documents are found by their words alone.", self._reason)
                self._changed.notify_all()
            self._fail_waiting(ModelMissing(self._reason))
            return
        with self._changed:
            self._embedder = embedder
            self._state = "loaded"
            self._changed.notify_all()

    def _take_turns(self) -> None:
        """The last thread: documents, a turn each."""
        _run_in_the_background()
        embedder = self._loaded()
        while embedder is not None:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._turns)
                if self._closed:
                    return
                turn = self._turns.take()
            if turn is not None:
                ended = self._work(embedder, turn[1], TURN_TEXTS)
                with self._changed:
                    self._turns.turn_over(*turn, ended=ended)

    def _work(self, embedder: Embedder, job: Job, most: int) -> bool:
        """Embed the next texts of a job; whether it has ended with that. A crash is the job's alone."""
        texts = job.texts[job.done : job.done + most]
        try:
            part = embedder.embed(texts, stop=lambda: self._closed or job.future.cancelled())
        except Stopped:
            job.fail(QueueClosed("The engine is stopping."))
            return True
        except Exception as error:
            logger.exception("embedding %d texts failed", len(texts))
            job.fail(error)
            return True
        job.parts.append(part)
        job.done += len(texts)
        if job.done < len(job.texts):
            return False
        job.finish(np.concatenate(job.parts))
        return True


def _shares(texts: Sequence[str], most: int) -> list[list[int]]:
    """The places of texts, shared out so that each share takes about as long: texts of like length in one share.

    There is at least one share, and no more of them than are worth their while.
    """
    whole = sum(map(len, texts))
    shares: list[list[int]] = [[] for _ in range(max(1, min(most, whole // _SHARED_CHARACTERS)))]
    before = 0
    for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
        middle = before + len(texts[place]) / 2
        shares[min(int(middle * len(shares) / max(1, whole)), len(shares) - 1)].append(place)
        before += len(texts[place])
    return [sorted(share) for share in shares if share] or [[]]


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _why_missing(error: Exception) -> str:
    if isinstance(error, ModelMissing):
        return str(error)
    if isinstance(error, OSError):
        return f"The embedding model's file could not be written: {error.strerror or error}. Make room and restart."
    return f"The embedding model could not be loaded ({type(error).__name__}); the engine's log says more."


def _run_in_the_background() -> None:
    """Lower the calling thread's priority. Only Linux has one for each thread; elsewhere the call would mean others."""
    if sys.platform == "linux":
        nice = max(_BACKGROUND_NICE, os.getpriority(os.PRIO_PROCESS, 0))
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
