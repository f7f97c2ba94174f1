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
        self.listeners: tuple[Listener, ...] = ()
        """Those of the waiters: made anew with each change, so that who tells them needs no lock."""

    def add(self, waiter: Future[Reading], listener: Listener) -> None:
        """One more who waits."""
        self.waiters[waiter] = listener
        self.listeners = tuple(self.waiters.values())

    def drop(self, waiter: Future[Reading]) -> None:
        """One who waits no more; safe twice."""
        self.waiters.pop(waiter, None)
        self.listeners = tuple(self.waiters.values())


def _all_of(shared: _Shared) -> Listener:
    """Tells everybody who waits by then."""

    def progress(done: int, total: int) -> None:
        for listener in shared.listeners:
            _tell(listener.progress, done, total)

    def page(number: int, total: int, text: str) -> None:
        for listener in shared.listeners:
            _tell(listener.page, number, total, text)

    return Listener(progress, page)


class SharedReadings:
    """Readings under way by key; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[str, _Shared] = {}

    def join(
        self, key: str, begin: Callable[[Listener], Future[Reading]], listener: Listener, waiter: Future[Reading]
    ) -> None:
        """Lets `waiter` come to the end of the reading of `key`, which `begin` starts if nobody has.

        Cancelling it stops the reading when nobody else waits for it. Raises what `begin` raises.
        """
        with self._lock:
            shared = self._by_key.get(key)
            if shared is None:
                shared = _Shared()
                shared.add(waiter, listener)  # the first page may come at once
                shared.work = begin(_all_of(shared))
                self._by_key[key] = shared
                shared.work.add_done_callback(lambda work: self._finish(key, shared, work))
            else:
                shared.add(waiter, listener)
        waiter.add_done_callback(lambda done: self._leave(key, shared, waiter) if done.cancelled() else None)

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
            shared.drop(waiter)
            abandoned = not shared.waiters
            if abandoned and self._by_key.get(key) is shared:
                del self._by_key[key]
        if abandoned and shared.work is not None:
            shared.work.cancel()
