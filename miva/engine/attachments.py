"""Documents that come inside questions: unwrapped, indexed, and kept for what follows in a conversation."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from miva.engine.envelope import EnvelopeFile, parse
from miva.engine.frames import FrameError
from miva.engine.search import Asked
from miva.engine.shelf import Shelf
from miva.engine.stores.base import Index
from miva.engine.stores.sqlite_index import SqliteIndex


@dataclass(frozen=True)
class Attached:
    """A document that came inside a question: its key on the shelf and how it was called."""

    key: str
    name: str
    paged: bool


@dataclass
class Conversation:
    """What one `unique_id` of one connection said before; its questions are answered one after the other."""

    attached: tuple[Attached, ...] = ()
    previous: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Attachments:
    """Those of all conversations. All methods block for as long as a text takes to be indexed."""

    def __init__(self) -> None:
        self._shelf = Shelf()

    def open(self, key: str) -> Index | None:
        """The index of one; None where it is no longer in memory."""
        return self._shelf.get(key)

    def unwrap(self, envelope: str) -> tuple[str, tuple[Attached, ...]]:
        """A question out of its envelope, and the documents in it, which are indexed now."""
        parsed = parse(envelope)
        return parsed.question, tuple(self._shelve(file) for file in parsed.files)

    def asked(self, conversation: Conversation) -> list[Asked]:
        """The documents a conversation is about. Raises `FrameError` where one is no longer in memory."""
        asked = []
        for document in conversation.attached:
            index = self._shelf.get(document.key)
            if index is None:
                raise FrameError(f"I no longer have {document.name} in memory; please attach it again.")
            asked.append(Asked(document.key, document.name, index, self._shelf.vectors, document.paged))
        return asked

    def _shelve(self, file: EnvelopeFile) -> Attached:
        pages = file.pages if file.pages is not None else ((1, file.text or ""),)
        digest = hashlib.sha256()
        for number, text in pages:
            digest.update(f"{number} {len(text)} ".encode() + text.encode())
        key = digest.hexdigest()
        if self._shelf.get(key) is None:
            index = SqliteIndex.in_memory()
            for number, text in pages:
                index.add_page(number, text)
            self._shelf.put(key, index, sum(len(text) for _, text in pages))
        return Attached(key, file.name, file.pages is not None)
