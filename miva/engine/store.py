"""Where finished documents are: on disk under their ids, or, out of a question, for a while in memory."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
from collections import OrderedDict
from pathlib import Path

from miva.engine.index import DocumentIndex

# What documents out of questions may keep in memory; an index takes about four bytes for a character of text.
SHELF_CHARACTERS = 12_000_000
SHELF_DOCUMENTS = 64
_STALE_DRAFT_S = 3600


class Library:
    """The documents kept below a folder, each by the id its sender gave it (the SHA-256 of its content)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in folder.glob("*.tmp"):  # of an engine that was killed while it wrote
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - _STALE_DRAFT_S:
                    draft.unlink()
        self._names = _Names(folder / "names.sqlite3")

    def open(self, document: str) -> DocumentIndex | None:
        """The index of a document that is wholly held, else None."""
        return DocumentIndex.open(self._path(document))

    def holds(self, document: str) -> bool:
        """Whether `open` would find the document."""
        index = self.open(document)
        if index is not None:
            index.close()
        return index is not None

    def save(self, document: str, index: DocumentIndex) -> None:
        """Keep a finished document."""
        index.save(self._path(document))

    def forget(self, document: str) -> None:
        """Delete a document and its names; one that is not held is no error."""
        self._path(document).unlink(missing_ok=True)
        self._names.remove(document)

    def set_name(self, document: str, owner: str, name: str) -> None:
        """Note what `owner` calls the document."""
        self._names.put(document, owner, name)

    def name(self, document: str) -> str:
        """What all who sent the document call it; where they differ, no owner's word for it is told to another."""
        names = self._names.of(document)
        return names.pop() if len(names) == 1 else "the document"

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

    def put(self, document: str, owner: str, name: str) -> None:
        with self._lock, self._db:
            known = self._db.execute(
                "SELECT name FROM names WHERE document = ? AND owner = ?", (document, owner)
            ).fetchone()
            if known != (name,):
                self._db.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (document, owner, name))

    def of(self, document: str) -> set[str]:
        with self._lock:
            return {name for (name,) in self._db.execute("SELECT name FROM names WHERE document = ?", (document,))}

    def remove(self, document: str) -> None:
        with self._lock, self._db:
            self._db.execute("DELETE FROM names WHERE document = ?", (document,))


class Shelf:
    """Documents that came inside questions, by the hash of their text: the least recently used go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[DocumentIndex, int]] = OrderedDict()
        self._characters = 0

    def get(self, key: str) -> DocumentIndex | None:
        """The index under `key`, if it is still there."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: str, index: DocumentIndex, characters: int) -> None:
        """Keep an index of so many characters; the newest is kept even where it is over the limit alone."""
        with self._lock:
            if key in self._held:
                return
            self._held[key] = (index, characters)
            self._characters += characters
            while len(self._held) > 1 and (self._characters > SHELF_CHARACTERS or len(self._held) > SHELF_DOCUMENTS):
                _, (_, size) = self._held.popitem(last=False)
                self._characters -= size
