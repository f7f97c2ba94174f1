"""One place of the pool: runs a job in its worker, and kills and replaces the worker whenever it has to."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from miva.protocol import errors

from . import wire
from .forkserver import Ending, Worker
from .limits import Limits

log = logging.getLogger(__name__)

OnEvent = Callable[[dict[str, Any], str], None]
_BY_CODE: dict[str, type[errors.MivaError]] = {
    kind.code: kind for kind in errors.FileRefused.__subclasses__() if kind is not errors.FileRefused
}
_OUT_OF_TIME = {-signal.SIGXCPU}
_OUT_OF_MEMORY = {-signal.SIGABRT}
"""How pdfium ends when an allocation fails; its other checks end in SIGTRAP or SIGILL."""


class Cancelled(Exception):
    """Nobody waits for this any more."""


class Slot:
    """Runs one job at a time, in the thread that calls `run`. `abort` may be called from any thread."""

    def __init__(self, limits: Limits, fork: Callable[[], Worker]) -> None:
        self.limits = limits
        self._fork = fork
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        self._aborted = False

    def warm(self) -> None:
        """Has a worker started ahead of the first job."""
        with contextlib.suppress(errors.Busy, Cancelled):
            self._ready_worker().jobs -= 1

    def run(self, job: dict[str, Any], fds: Sequence[int], seconds: float, on_event: OnEvent) -> dict[str, Any]:
        """Runs a job within so many seconds and returns its end. Raises MivaError or Cancelled.

        A worker that something else killed (an administrator, a restart) is no fault of the file: once more, then.
        """
        until = time.monotonic() + seconds
        for _ in range(2):
            worker = self._ready_worker()
            try:
                wire.send(worker.sock, job, fds=fds)
                return self._listen(worker, until, on_event)
            except wire.Late:
                self._replace()
                raise errors.ExtractionTimeout from None
            except wire.Closed:
                ending = self._replace()
            self._check_aborted()
            if ending is not None and ending.code != -signal.SIGKILL:
                raise self._reason(ending)
        if ending is not None and 2 * ending.peak_mb > self.limits.memory_mb:
            raise errors.ExtractionMemory
        log.error("an extraction process was killed twice from outside while it read the same file")
        raise errors.Internal

    def abort(self) -> None:
        """Makes a running job end at once with Cancelled, and the next ones too, until `renew`."""
        with self._lock:
            self._aborted = True
            if self._worker is not None:
                self._worker.server.kill(self._worker.number)

    def renew(self) -> None:
        """Makes the slot usable again after `abort`."""
        with self._lock:
            self._aborted = False

    def close(self) -> None:
        """Lets go of the worker."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    def _ready_worker(self) -> Worker:
        self._check_aborted()
        worker = self._worker
        if worker is not None and not (
            worker.jobs < self.limits.jobs_per_worker and worker.server.alive and worker.is_idle()
        ):
            self._replace()
            worker = None
        if worker is None:
            try:
                worker = self._fork()
            except (wire.Closed, wire.Late, OSError) as why:
                self._check_aborted()  # the server is stopping
                log.exception("no extraction process could be started")
                raise errors.Busy from why
            with self._lock:
                self._worker = worker
            self._check_aborted()
        worker.jobs += 1
        return worker

    def _listen(self, worker: Worker, until: float, on_event: OnEvent) -> dict[str, Any]:
        while True:
            event, text = worker.messages.receive(min(until, time.monotonic() + self.limits.stall_s))
            match event.get("event"):
                case "form" | "count" | "page":
                    on_event(event, text)
                case "end":
                    self._recycle_if_large(event)
                    return event
                case "refused":
                    self._recycle_if_large(event)
                    raise _BY_CODE.get(event["code"], errors.BrokenPdf)(event.get("message"))
                case _:
                    log.error("an extraction process failed:\n%s", event.get("trace", event))
                    self._replace()
                    raise errors.Internal

    def _recycle_if_large(self, event: dict[str, Any]) -> None:
        if event.get("code") == "extraction_memory" or 2 * event.get("memory_mb", 0) > self.limits.memory_mb:
            self._replace()

    def _replace(self) -> Ending | None:
        """Kills the worker; the next job gets a new one."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is None:
            return None
        try:
            return worker.kill()
        finally:
            worker.close()

    def _check_aborted(self) -> None:
        if self._aborted:
            self._replace()
            raise Cancelled

    def _reason(self, ending: Ending) -> errors.MivaError:
        if ending.code in _OUT_OF_TIME:
            return errors.ExtractionTimeout()
        if ending.code in _OUT_OF_MEMORY or 10 * ending.peak_mb > 9 * self.limits.memory_mb:
            return errors.ExtractionMemory()
        return errors.BrokenPdf()
