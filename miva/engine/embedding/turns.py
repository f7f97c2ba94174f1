"""Fair turns between documents: whose texts are embedded next."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from miva.engine.vectors import Vectors


@dataclass
class Job:
    """Texts that were handed in together, the vectors they have so far, and who waits for all of them.

    The future stays pending until its end, so that whoever waits can cancel it at any time.
    """

    texts: Sequence[str]
    future: Future[Vectors] = field(default_factory=Future)
    parts: list[Vectors] = field(default_factory=list)
    done: int = 0
    _ended: bool = False
    _ending: Lock = field(default_factory=Lock)

    def finish(self, vectors: Vectors) -> None:
        """Hand the vectors over, unless the job has ended or nobody wants them any more."""
        if self._end():
            self.future.set_result(vectors)

    def fail(self, error: BaseException) -> None:
        """Tell the waiter what went wrong, unless the job has ended or nobody waits any more."""
        if self._end():
            self.future.set_exception(error)

    def _end(self) -> bool:
        with self._ending:  # a queue that closes and the thread at work may both want to
            if self._ended:
                return False
            self._ended = True
        return self.future.set_running_or_notify_cancel()


class Turns:
    """Jobs by key (a document). Not safe to use from several threads: the queue's lock guards it."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[Job]] = OrderedDict()

    def add(self, key: Hashable, job: Job) -> None:
        """Behind the other jobs of its key; a new key has its turn after those that wait."""
        self._waiting.setdefault(key, deque()).append(job)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[Hashable, Job] | None:
        """The key and the job whose turn it is. Both stay where they are until `turn_over`."""
        while self._waiting:
            key, jobs = next(iter(self._waiting.items()))
            while jobs and jobs[0].future.cancelled():
                jobs.popleft()
            if jobs:
                return key, jobs[0]
            del self._waiting[key]
        return None

    def turn_over(self, key: Hashable, job: Job, *, ended: bool) -> None:
        """The key goes behind those that wait, or out with its last job. Nothing happens where it was dropped."""
        jobs = self._waiting.get(key)
        if not jobs or jobs[0] is not job:
            return
        self._waiting.move_to_end(key)
        if ended:
            jobs.popleft()
            if not jobs:
                del self._waiting[key]

    def drop(self, key: Hashable) -> None:
        """Cancel every job of a key."""
        for job in self._waiting.pop(key, ()):
            job.future.cancel()

    def take_all(self) -> list[Job]:
        """Take out every job."""
        jobs = [job for waiting in self._waiting.values() for job in waiting]
        self._waiting.clear()
        return jobs
