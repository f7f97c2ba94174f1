"""Temporary files of this server process: where they lie, and that they go when the process is gone.

Each process has a folder of its own with a locked file in it. The kernel gives the lock up when the process dies,
however it dies, so any later process can tell a dead one's folder from a live one's and remove it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "reading-"
_LOCK = ".lock"
_GRACE_S = 60.0
"""A folder this young may belong to a process that has not locked it yet."""


def new_file(folder: Path) -> tuple[int, str]:
    """A new empty file in `folder`, as from tempfile.mkstemp at a quarter of its cost. Raises OSError."""
    path = os.path.join(folder, secrets.token_hex(8))
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), path


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Writes all of it, in as many steps as the system needs. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class TemporaryFolder:
    """A folder for this process below `base`; made at once, removed by `close`."""

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._remove_leftovers(base)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def new_file(self) -> tuple[int, Path]:
        """A new empty file that only this user may read: its descriptor, for reading and writing, and its path."""
        fd, path = new_file(self.path)
        return fd, Path(path)

    def close(self) -> None:
        """Removes the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)

    @staticmethod
    def _remove_leftovers(base: Path) -> None:
        for folder in base.glob(f"{_PREFIX}*"):
            try:
                fd = os.open(folder / _LOCK, os.O_RDWR)
            except OSError:
                with contextlib.suppress(OSError):
                    if time.time() - folder.stat().st_mtime > _GRACE_S:
                        shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # its process lives
            else:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)
