"""A long document out of the set's own sentences, and a question about each of its pages that no other answers."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.pdfs import make_pdf

_LINE = 90
_TEXT = "ba bor cha den el far gim hul in jor ka lem mor nu os pel qui ral sto tur ul ven wis yar zem"
_SYLLABLES = _TEXT.split()


@dataclass(frozen=True, slots=True)
class LongDocument:
    """`entries` are the names that the pages tell, in order: a keeper and a ship, of which no other page knows."""

    pdf: bytes
    entries: tuple[tuple[str, str], ...]

    @property
    def pages(self) -> int:
        return len(self.entries)

    def question(self, page: int) -> str:
        """What only this page (from 1) answers; the keeper's name leads there."""
        return f"Which ship did the keeper {self.entries[page - 1][0]} enter into the harbour register?"

    def answer(self, page: int) -> str:
        return self.entries[page - 1][1]


def long_document(texts: Mapping[str, Sequence[str]], pages: int, seed: int) -> LongDocument:
    """A PDF of so many pages: the set's pages in turn, the sentences of each in an order of this page's own.

    So no two pages are alike, and all are of the length that real ones have. The same for the same arguments.
    """
    chance = random.Random(seed)
    given = [page for file in sorted(texts) for page in texts[file] if page.strip()]
    names = _names(2 * pages, chance)
    entries = tuple(zip(names[:pages], names[pages:], strict=True))
    made = []
    for number, (keeper, ship) in enumerate(entries):
        sentences = re.split(r"(?<=[.!?])\s+", " ".join(given[number % len(given)].split()))
        chance.shuffle(sentences)
        entry = f"The keeper {keeper} entered the ship {ship} into the harbour register on that day."
        sentences.insert(len(sentences) // 2, entry)
        made.append("\n".join(_lines(" ".join(sentences))))
    return LongDocument(make_pdf(made), entries)


def _names(count: int, chance: random.Random) -> list[str]:
    """So many invented names, all of them different."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chance.choices(_SYLLABLES, k=4)).capitalize()] = None
    return list(found)


def _lines(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= _LINE:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
