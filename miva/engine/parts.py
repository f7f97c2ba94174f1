"""The parts of a document: what its bookmarks name, or its headings, and the sentences behind them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from miva.engine.passages import is_running
from miva.engine.stores.base import Bookmark, Index, Passage
from miva.engine.text import one_line

PASSAGES_READ, SENTENCES_READ = 400, 40
"""Sentences and headings of a page, and sentences of a part, that are looked at."""
_MOST_SHOWN = 15
_HEADINGS_READ = 400


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: its title, where it begins, and how deep it lies; `after` is the number of the heading that
    its text stands behind, -1 where that is the top of the page."""

    title: str
    page: int
    level: int = 0
    after: int = -1


def headings(index: Index) -> list[Passage]:
    """The document's first headings: as many as are looked at."""
    return index.headings(_HEADINGS_READ)


def bookmarked(outline: list[Bookmark], headings: list[Passage], title: Passage | None) -> list[Part]:
    """What the bookmarks name, but for the title; none where that is one part or less."""
    places = {(_plain(heading.text), heading.page): heading.number for heading in headings}
    parts = [
        Part(one_line(mark.title), mark.page, mark.level, places.get((_plain(mark.title), mark.page), -1))
        for mark in outline
        if title is None or _plain(mark.title) != _plain(title.text)
    ]
    least = min((part.level for part in parts), default=0)
    return [replace(part, level=part.level - least) for part in parts] if len(parts) > 1 else []


def headed(headings: list[Passage], title: Passage | None) -> list[Part]:
    """The headings without the title, without what stands on the head of many pages, and each once."""
    pages = Counter(name for name, _ in {(_plain(heading.text), heading.page) for heading in headings})
    seen = {_plain(title.text)} if title else set()
    found = []
    for heading in headings:
        name = _plain(heading.text)
        if name not in seen and pages[name] < 3 and not is_running(heading.text):
            seen.add(name)
            found.append(Part(one_line(heading.text), heading.page, after=heading.number))
    return found


def every(index: Index) -> list[Part]:
    """All that bookmarks name, then all headings, also those that differ in their numbers alone."""
    found = headings(index)
    behind = [Part(one_line(heading.text), heading.page, after=heading.number) for heading in found]
    return bookmarked(index.outline(), found, None) + behind


def upper(parts: list[Part]) -> list[Part]:
    """The parts as deep down as there is room for; the first of them where even the uppermost are too many."""
    levels = sorted({part.level for part in parts}, reverse=True)
    for deepest in levels:
        upper = [part for part in parts if part.level <= deepest]
        if len(upper) <= _MOST_SHOWN:
            return upper
    return [part for part in parts if part.level == 0][:_MOST_SHOWN]


def sentences(index: Index, page: int, after: int) -> list[Passage]:
    """The sentences of a page behind its passage number `after`, up to the next heading."""
    part: list[Passage] = []
    for passage in index.page_passages(page, PASSAGES_READ):
        if passage.number > after:
            if passage.heading and part:
                break
            if not passage.heading:
                part.append(passage)
    return part[:SENTENCES_READ]


def _plain(text: str) -> str:
    return re.sub(r"[\W\d]+", " ", text.lower()).strip()
