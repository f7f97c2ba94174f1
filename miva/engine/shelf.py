"""Documents that came inside questions: for a while in memory, with their vectors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from miva.engine.stores.base import Index
from miva.engine.stores.matrix_vectors import VectorsInMemory

# What documents out of questions may keep in memory; an index takes about four bytes for a character of text.
SHELF_CHARACTERS = 12_000_000
SHELF_DOCUMENTS = 64


class Shelf:
    """Documents by the hash of their text: the least recently used go first, and their vectors with them."""

    def __init__(self) -> None:
        self.vectors = VectorsInMemory(self._holds)  # those that are made while a document goes are not kept
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[Index, int]] = OrderedDict()
        self._characters = 0

    def get(self, key: str) -> Index | None:
        """The index under `key`, if it is still there."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, documents: Mapping[str, tuple[Index, int]]) -> None:
        """Keep what came together, each an index of so many characters, also where it is over the limit alone."""
        gone = []
        with self._lock:
            for key, (index, characters) in documents.items():
                if key not in self._held:
                    self._held[key] = (index, characters)
                    self._characters += characters
                self._held.move_to_end(key)
            while len(self._held) > len(documents) and self._is_full():
                key, (_, size) = self._held.popitem(last=False)
                self._characters -= size
                gone.append(key)
        for key in gone:
            self.vectors.forget(key)

    def _holds(self, key: str) -> bool:
        with self._lock:
            return key in self._held

    def _is_full(self) -> bool:
        return self._characters > SHELF_CHARACTERS or len(self._held) > SHELF_DOCUMENTS
