"""The pool of extraction processes: who waits, who is next, and what happens when the server stops.

It knows nothing of asyncio: a task is a plain function that runs in one of the pool's threads with that thread's slot,
and its outcome is a `concurrent.futures.Future`, which any event loop, thread or WSGI view can wait for.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, TypeVar

from miva.protocol import errors

from . import wire
from .forkserver import ForkServer, Worker
from .limits import Limits
from .slot import Cancelled, Slot

log = logging.getLogger(__name__)
T = TypeVar("T")

_SECONDS_PER_BYTE = 0.5 / 2**20
_MOST_HEAD_START_S = 30.0
"""A small file overtakes a large one that came up to so much earlier; nobody is overtaken for longer than this."""


@dataclass(eq=False)
class _Item:
    task: Callable[[Slot], Any]
    future: Future[Any]
    owner: str | None
    quick: bool
    came: float
    turn: float
    slot: Slot | None = field(default=None)


class Pool:
    """Threads with one worker each. Start it once per process; `stop` is final."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._quick_work = threading.Condition(self._lock)  # of the slot that takes nothing else
        self._server_lock = threading.Lock()
        self._server: ForkServer | None = None
        self._waiting: list[_Item] = []
        self._running: Counter[str | None] = Counter()
        self._stopping = False
        self._slots = [Slot(limits, self._fork) for _ in range(limits.workers + 1)]
        self._threads = [
            threading.Thread(target=self._serve, args=(slot, number == 0), name="miva-extraction", daemon=True)
            for number, slot in enumerate(self._slots)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, task: Callable[[Slot], T], *, size: int = 0, owner: str | None = None, quick: bool = False
    ) -> Future[T]:
        """Queues a task about a file of `size` bytes; cancelling the future takes it back or kills its worker.

        Small files go before large ones for a while, one owner never holds all the slots, and for `quick` tasks, which
        take milliseconds whatever the file holds, one more slot is kept free. Raises Busy when too many
        wait; a task that waits too long fails with Busy.
        """
        now = time.monotonic()
        future: Future[T] = Future()
        item = _Item(task, future, owner, quick, now, now + min(size * _SECONDS_PER_BYTE, _MOST_HEAD_START_S))
        with self._work:
            if self._stopping or len(self._waiting) >= self.limits.max_waiting:
                raise errors.Busy
            self._waiting.append(item)
            self._work.notify()
            if quick:
                self._quick_work.notify()
        future.add_done_callback(lambda done: self._take_back(item) if done.cancelled() else None)
        return future

    def stop(self) -> None:
        """Ends every task with Busy and every process, and waits for them."""
        with self._work:
            self._stopping = True
            waiting, self._waiting = self._waiting, []
            for slot in self._slots:
                slot.abort()
            self._work.notify_all()
            self._quick_work.notify_all()
        for item in waiting:
            _fail(item.future, errors.Busy("The server is stopping. Please try again in a moment."))
        with self._server_lock:
            if self._server is not None:
                self._server.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=10)

    def forget(self) -> None:
        """For a forked copy of the server: closes inherited descriptors; the threads did not survive the fork."""
        if self._server is not None:
            self._server.forget()

    def _fork(self) -> Worker:
        with self._server_lock:
            if self._stopping:
                raise wire.Closed
            if self._server is None or not self._server.alive:
                self._server = ForkServer(self.limits, self._expire)
            server = self._server
        return server.fork()

    def _serve(self, slot: Slot, only_quick: bool) -> None:
        slot.warm()
        while (item := self._next(slot, only_quick)) is not None:
            try:
                result = item.task(slot)
            except Cancelled:
                _fail(item.future, errors.Busy("The server is stopping. Please try again in a moment."))
            except errors.MivaError as why:
                _fail(item.future, why)
            except Exception:
                log.exception("reading a file failed")
                _fail(item.future, errors.Internal())
            else:
                with contextlib.suppress(InvalidStateError):
                    item.future.set_result(result)
            with self._lock:
                item.slot = None
                self._running[item.owner] -= 1
                self._running += Counter()  # drops the zeros
                if not self._stopping:
                    slot.renew()
                if only_quick:  # else this thread looks for what its owner may have again
                    self._work.notify()
        slot.close()

    def _next(self, slot: Slot, only_quick: bool) -> _Item | None:
        with self._work:
            while not self._stopping:
                item = self._choose(only_quick)
                if item is not None:
                    self._waiting.remove(item)
                    self._running[item.owner] += 1
                    item.slot = slot
                    return item
                (self._quick_work if only_quick else self._work).wait()
            return None

    def _choose(self, only_quick: bool) -> _Item | None:
        most = max(1, self.limits.workers - 1)
        allowed = [
            item
            for item in self._waiting
            if item.quick or (not only_quick and (item.owner is None or self._running[item.owner] < most))
        ]
        return min(allowed, key=lambda item: (self._running[item.owner] if item.owner else 0, item.turn), default=None)

    def _take_back(self, item: _Item) -> None:
        with self._lock:
            if item in self._waiting:
                self._waiting.remove(item)
            elif item.slot is not None:
                item.slot.abort()

    def _expire(self) -> None:
        oldest = time.monotonic() - self.limits.max_wait_s
        with self._lock:
            late = [item for item in self._waiting if item.came < oldest]
            for item in late:
                self._waiting.remove(item)
        for item in late:
            _fail(item.future, errors.Busy())


def _fail(future: Future[Any], why: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(why)
