"""The library on disk: a SQLite file for each document, named by its id, and one for what owners call them."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from miva.engine.stores import trouble
from miva.engine.stores.base import Draft, Index, Library
from miva.engine.stores.sqlite_index import SqliteIndex

_STALE_DRAFT_S = 3600


class SqliteLibrary(Library):
    """The documents kept below a folder, each by the id its sender gave it (the SHA-256 of its content)."""

    @trouble.of_files()
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in folder.glob("*.tmp"):  # of an engine that was killed while it wrote
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - _STALE_DRAFT_S:
                    draft.unlink()
        self._names = _Names(folder / "names.sqlite3")

    def open(self, document: str) -> Index | None:
        return SqliteIndex.open(self._path(document))

    def holds(self, document: str) -> bool:
        index = self.open(document)
        if index is not None:
            index.close()
        return index is not None

    def save(self, document: str, draft: Draft) -> None:
        draft.save(self._path(document))

    @trouble.of_files()
    def forget(self, document: str) -> None:
        self._path(document).unlink(missing_ok=True)
        self._names.remove(document)

    def set_name(self, document: str, owner: str, name: str) -> None:
        self._names.put(document, owner, name)

    def name(self, document: str) -> str:
        names = self._names.of(document)
        return names.pop() if len(names) == 1 else "the document"

    def documents(self) -> Iterator[str]:
        return filter(self.holds, self._names.documents())

    def _path(self, document: str) -> Path:
        # Hashed, so that an id is never a path, whatever its sender put into it.
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()}.sqlite3"


class _Names:
    """Which owner calls which document what."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
        self._db.execute("PRAGMA secure_delete = ON")
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS names (document TEXT, owner TEXT, name TEXT, PRIMARY KEY (document, owner))"
            )

    @trouble.of_files()
    def put(self, document: str, owner: str, name: str) -> None:
        with self._lock, self._db:
            known = self._db.execute(
                "SELECT name FROM names WHERE document = ? AND owner = ?", (document, owner)
            ).fetchone()
            if known != (name,):
                self._db.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (document, owner, name))

    @trouble.of_files()
    def of(self, document: str) -> set[str]:
        with self._lock:
            return {name for (name,) in self._db.execute("SELECT name FROM names WHERE document = ?", (document,))}

    @trouble.of_files()
    def documents(self) -> list[str]:
        with self._lock:
            return [document for (document,) in self._db.execute("SELECT DISTINCT document FROM names")]

    def remove(self, document: str) -> None:
        with self._lock, self._db:
            self._db.execute("DELETE FROM names WHERE document = ?", (document,))
