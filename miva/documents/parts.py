"""What has come so far of the files that are sent in pieces; each lies below the data folder until it is whole.

    uploads/<id>.part   the bytes from the file's beginning, without a hole: its length is where to go on
    uploads/<id>.lock   the name of the one who writes; locked (flock) while bytes are written or the whole is settled

Whoever puts a name of their own there is the writer from then on, and the one before cannot write any more: a
connection that has not noticed its own end does no harm. A process that dies leaves nothing locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from django.conf import settings

from .intake import HEAD, sniff

KEPT_S = 86400.0
"""How long bytes wait for those that are missing."""


class TakenOver(Exception):
    """Somebody else writes this file now, or it is whole, or it is not wanted any more."""


class Part:
    """One file that is being sent; safe from any thread. `take` it to write; whoever does not needs no `close`."""

    def __init__(self, id: UUID) -> None:
        self._folder = Path(settings.MIVA_DATA_DIR) / "uploads"
        self.path = self._folder / f"{id.hex}.part"
        self._lock_path = self._folder / f"{id.hex}.lock"
        self._name = secrets.token_hex(8).encode()
        self._using = threading.Lock()
        self._lock: int | None = None
        self._file: int | None = None
        self._close = weakref.finalize(self, _close)

    def size(self) -> int:
        """Bytes that are here; 0 where none ever came."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def take(self) -> int:
        """Makes this object the writer; returns the bytes that are here. Raises OSError."""
        with self._locked() as lock:
            os.ftruncate(lock, 0)
            os.pwrite(lock, self._name, 0)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock, self._file = os.dup(lock), file
            self._close = weakref.finalize(self, _close, self._lock, file)  # also for whoever was cancelled meanwhile
            return os.fstat(file).st_size

    def write(self, offset: int, data: bytes) -> None:
        """Appends bytes to the first `offset` ones: all of them, or none. Raises TakenOver, and OSError (no room)."""
        with self._using:
            if self._lock is None or self._file is None:
                raise TakenOver
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                is_writer = os.fstat(self._lock).st_nlink and os.pread(self._lock, 64, 0) == self._name
                if not is_writer or os.fstat(self._file).st_size != offset:
                    raise TakenOver
                _write_whole(self._file, offset, data)
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps everybody from writing meanwhile; raises TakenOver where nothing is here (any more)."""
        with self._locked():
            try:
                if not self.path.exists():
                    raise TakenOver
                yield
            finally:
                if not self.path.exists():
                    self._lock_path.unlink(missing_ok=True)

    def sha256(self) -> str:
        """The hash of what is here, in hex; raises OSError."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def media_type(self, *, name: str, declared: str) -> str:
        """What the whole file is, whatever it was declared to be; raises NotAPdf, NoText, UnsupportedType, OSError."""
        with self.path.open("rb") as file:
            return sniff(file.read(HEAD), name=name, declared=declared)

    def remove(self) -> None:
        """Forgets the bytes, also while somebody writes; safe twice."""
        with contextlib.suppress(TakenOver), self.held():
            self.path.unlink()

    def close(self) -> None:
        """Lets go of the file, when what is being written is; the bytes stay."""
        with self._using:
            self._lock = self._file = None
            self._close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The locked lock file's descriptor, made where there is none."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock).st_nlink:  # else it was removed while we waited for it
                    yield lock
                    return
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough where the descriptor has a copy
                os.close(lock)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _write_whole(fd: int, offset: int, data: bytes) -> None:
    try:
        view, at = memoryview(data), offset
        while view:
            written = os.pwrite(fd, view, at)
            view, at = view[written:], at + written
    except OSError:
        os.ftruncate(fd, offset)
        raise


def sweep() -> int:
    """Removes what has waited for too long, whoever it belonged to; returns how many files."""
    oldest = time.time() - 2 * KEPT_S  # the rows of documents say earlier what is not wanted any more
    removed = 0
    for path in (Path(settings.MIVA_DATA_DIR) / "uploads").glob("*.*"):
        with contextlib.suppress(FileNotFoundError, ValueError):
            part = Part(UUID(path.stem))
            if max(path.stat().st_mtime, part.path.stat().st_mtime if part.path.exists() else 0.0) < oldest:
                part.remove()
                removed += 1
    return removed
