"""How rival pipelines cut documents: by tokens, characters or sentences. Each chunk knows the pages it touches."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

Offsets = Callable[[str], list[tuple[int, int]]]
"""Where each token of a text begins and ends, in characters."""
_BETWEEN_PAGES = "\n\n"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]”’]*\s+(?=[\"'(\[“‘]?[A-Z0-9])")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file's text and the pages (from 1) on which it stands, in reading order."""

    file: str
    pages: tuple[int, ...]
    text: str


def by_tokens(file: str, pages: Sequence[str], offsets: Offsets, *, size: int = 512) -> list[Chunk]:
    """Fixed windows of so many tokens over the whole document's text, one behind the other."""
    whole = _BETWEEN_PAGES.join(pages)
    tokens = offsets(whole)
    windows = (tokens[first : first + size] for first in range(0, len(tokens), size))
    return [_chunk(file, pages, whole, window[0][0], window[-1][1]) for window in windows]


def by_characters(file: str, pages: Sequence[str], *, size: int = 1000, overlap: int = 200) -> list[Chunk]:
    """Windows of so many characters over the whole document's text, each beginning in the one before."""
    whole = _BETWEEN_PAGES.join(pages)
    firsts = range(0, max(1, len(whole) - overlap), size - overlap)
    return [_chunk(file, pages, whole, first, min(len(whole), first + size)) for first in firsts]


def by_sentences(file: str, pages: Sequence[str], offsets: Offsets, *, size: int = 128) -> list[Chunk]:
    """Whole sentences up to so many tokens, never across a page; a longer sentence is a chunk of its own."""
    found = []
    for number, page in enumerate(pages, 1):
        taken: list[str] = []
        tokens = 0
        for sentence in filter(None, (part.strip() for part in _SENTENCE_END.split(page))):
            more = len(offsets(sentence))
            if taken and tokens + more > size:
                found.append(Chunk(file, (number,), " ".join(taken)))
                taken, tokens = [], 0
            taken.append(sentence)
            tokens += more
        if taken:
            found.append(Chunk(file, (number,), " ".join(taken)))
    return found


def first_tokens(text: str, offsets: Offsets, most: int) -> str:
    """The text up to so many tokens."""
    tokens = offsets(text)
    return text if len(tokens) <= most else text[: tokens[most - 1][1]]


def _chunk(file: str, pages: Sequence[str], whole: str, start: int, end: int) -> Chunk:
    begins = list(_begins(pages))
    first, last = bisect_right(begins, start), bisect_right(begins, max(start, end - 1))
    return Chunk(file, tuple(range(first, last + 1)), whole[start:end])


def _begins(pages: Sequence[str]) -> Iterator[int]:
    """Where each page begins in the joined text."""
    return accumulate((len(page) + len(_BETWEEN_PAGES) for page in pages[:-1]), initial=0)
