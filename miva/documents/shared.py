"""Readings that are under way: whoever asks for the same file meanwhile waits for the same reading."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from miva.protocol import errors

from .extraction import Listener
from .store import Reading

log = logging.getLogger(__name__)


def _tell(listener: Callable[..., None], *what: object) -> None:
    try:
        listener(*what)
    except Exception:
        log.exception("a listener to the progress of a reading failed")


class _Shared:
    def __init__(self) -> None:
        self.work: Future[Reading] | None = None
        self.waiters: dict[Future[Reading], Listener] = {}


class SharedReadings:
    """Readings under way by key; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[str, _Shared] = {}

    def join(self, key: str, begin: Callable[[Listener], Future[Reading]], listener: Listener) -> Future[Reading]:
        """A future of one's own for the reading of `key`, which `begin` starts if nobody has.

        Cancelling it stops the reading when nobody else waits for it. Raises what `begin` raises.
        """
        waiter: Future[Reading] = Future()
        with self._lock:
            shared = self._by_key.get(key)
            if shared is None:
                shared = _Shared()
                shared.work = begin(self._all_of(shared))
                self._by_key[key] = shared
                shared.waiters[waiter] = listener
                shared.work.add_done_callback(lambda work: self._finish(key, shared, work))
            else:
                shared.waiters[waiter] = listener
        waiter.add_done_callback(lambda done: self._leave(key, shared, waiter) if done.cancelled() else None)
        return waiter

    def _all_of(self, shared: _Shared) -> Listener:
        """Tells everybody who waits by then."""

        def progress(done: int, total: int) -> None:
            for listener in self._listeners(shared):
                _tell(listener.progress, done, total)

        def page(number: int, total: int, text: str) -> None:
            for listener in self._listeners(shared):
                _tell(listener.page, number, total, text)

        return Listener(progress, page)

    def _listeners(self, shared: _Shared) -> list[Listener]:
        with self._lock:
            return list(shared.waiters.values())

    def _finish(self, key: str, shared: _Shared, work: Future[Reading]) -> None:
        with self._lock:
            if self._by_key.get(key) is shared:
                del self._by_key[key]
            waiters = list(shared.waiters)
        if work.cancelled():
            return
        why = work.exception()
        for waiter in waiters:
            with contextlib.suppress(InvalidStateError):
                if why is None:
                    waiter.set_result(work.result())
                elif isinstance(why, errors.MivaError):
                    # Everybody gets an error of their own: raising one object in several threads mixes its tracebacks.
                    waiter.set_exception(type(why)(why.message, field=why.field, retry_after=why.retry_after))
                else:
                    waiter.set_exception(why)

    def _leave(self, key: str, shared: _Shared, waiter: Future[Reading]) -> None:
        with self._lock:
            shared.waiters.pop(waiter, None)
            abandoned = not shared.waiters
            if abandoned and self._by_key.get(key) is shared:
                del self._by_key[key]
        if abandoned and shared.work is not None:
            shared.work.cancel()
