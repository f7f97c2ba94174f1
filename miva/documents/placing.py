"""Putting finished files into Django's default storage: in one step where that is a folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, default_storage, storages

from .temporary import new_file, write_all

if TYPE_CHECKING:
    _BytesFile = File[bytes]
else:
    _BytesFile = File  # generic only in the stubs


class _Written(_BytesFile):
    """A finished temporary file that Django's file storage moves into place; other storages read it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(file, name)
        self._path = file.name

    def temporary_file_path(self) -> str:
        """Where the file lies (django.core.files.storage.FileSystemStorage moves what has this method)."""
        return self._path


def path_of(name: str) -> str | None:
    """Where a file of the storage lies, or None where that is no folder of this machine.

    Django's own answer costs as much as opening the file: it looks for names that lead out, which ours are not.
    """
    storage = storages["default"]
    if isinstance(storage, FileSystemStorage):  # others may have paths, too, that are no files
        return os.path.join(storage.location, name)
    return None


def put(name: str, content: bytes, folder: Path, *, is_lasting: bool) -> None:
    """Stores a file that nobody sees before it is whole, written in `folder` first. Raises OSError.

    `is_lasting` makes sure that it outlives a power failure.
    """
    fd, path = new_file(folder)
    moved = False
    try:
        try:
            write_all(fd, content)
            if is_lasting:
                os.fsync(fd)
        finally:
            os.close(fd)
        moved = move(name, path)
    finally:
        if not moved:
            Path(path).unlink(missing_ok=True)


def move(name: str, path: str | Path) -> bool:
    """Puts a finished temporary file into the storage, and says whether it was moved there.

    What is there already has the same content. Raises OSError.
    """
    try:
        if (to := path_of(name)) is not None:
            _move(path, to)
            return True
    except OSError:  # a folder on another disk, for one
        pass
    if not default_storage.exists(name):
        with open(path, "rb") as file:
            saved = default_storage.save(name, _Written(file, name))
        if saved != name:
            default_storage.delete(saved)  # somebody was faster
    return False


def _move(file: str | Path, to: str) -> None:
    """One step where the folder is there; half the time that Django's storage takes for all its questions."""
    try:
        os.replace(file, to)
    except FileNotFoundError:
        folder = os.path.dirname(to)
        try:
            os.mkdir(folder)  # mostly only this one is missing
        except OSError:
            os.makedirs(folder, exist_ok=True)
        os.replace(file, to)
