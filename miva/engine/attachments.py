"""Documents that come inside questions: unwrapped, indexed, and kept for what follows in a conversation."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias

from miva.engine.asked import Asked
from miva.engine.envelope import parse
from miva.engine.frames import FrameError
from miva.engine.shelf import Shelf
from miva.engine.stores.base import Index
from miva.engine.stores.sqlite_index import SqliteIndex

_AT_ONCE = 32
"""Pages that are indexed together: what is made of them is held in memory until they are stored."""

Pages: TypeAlias = tuple[tuple[int, str], ...]
"""The number and the text of each."""


@dataclass(frozen=True)
class Attached:
    """A document that came inside a question before: its key on the shelf and how it was called."""

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

    def unwrap(self, envelope: str) -> tuple[str, list[Asked]]:
        """A question out of its envelope, and the documents in it, which are indexed now."""
        parsed = parse(envelope)
        asked: list[Asked] = []
        shelved: dict[str, tuple[Index, int]] = {}
        for file in parsed.files:
            pages = file.pages if file.pages is not None else ((1, file.text or ""),)
            key = _key(pages)
            if key not in shelved:
                shelved[key] = self._shelf.get(key) or _index(pages), sum(len(text) for _, text in pages)
            asked.append(Asked(key, file.name, shelved[key][0], self._shelf.vectors, file.pages is not None))
        if shelved:
            self._shelf.put(shelved)  # all at once, for one must not make room for another
        return parsed.question, asked

    def asked(self, conversation: Conversation) -> list[Asked]:
        """The documents a conversation is about. Raises `FrameError` where one is no longer in memory."""
        asked = []
        for document in conversation.attached:
            index = self._shelf.get(document.key)
            if index is None:
                raise FrameError(f"I no longer have {document.name} in memory; please attach it again.")
            asked.append(Asked(document.key, document.name, index, self._shelf.vectors, document.paged))
        return asked


def _key(pages: Pages) -> str:
    digest = hashlib.sha256()
    for number, text in pages:
        digest.update(f"{number} {len(text)} ".encode() + text.encode())
    return digest.hexdigest()


def _index(pages: Pages) -> Index:
    index = SqliteIndex.in_memory()
    for at in range(0, len(pages), _AT_ONCE):
        index.add_pages(pages[at : at + _AT_ONCE])
    return index
