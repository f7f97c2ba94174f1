"""Questions about a document itself: its title, how many pages it has, and who wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from miva.engine import front, overview
from miva.engine.asked import Asked
from miva.engine.stores.base import Index, Passage
from miva.engine.text import STOP_WORDS, fold

_OTHER_WORDS = """
please what's whats who's pdf document doc file text paper report article book study thesis essay name names dieses
dieser dokument dokuments hat document's paper's ce cet du document a-t-il il y documento del el tiene
"""
_OTHERS = frozenset(_OTHER_WORDS.split()) | frozenset(fold(word) for word in STOP_WORDS)
"""Words without which such a question asks for the same."""
_TITLES = frozenset(["title", "titled", "titel", "titre", "titulo", "titolo"])
_PAGES = frozenset(["pages", "page", "seiten", "paginas", "number", "count", "viele", "cuantas", "combien", "hoeveel"])
_AUTHOR_WORDS = """
author authors wrote written writer writers authored geschrieben autor autoren verfasser auteur auteurs ecrit autores
escribio autore autori
"""
_AUTHORS = frozenset(_AUTHOR_WORDS.split())
_COUNTING = re.compile(
    r"\b(?:how many pages|(?:number|count) of pages|page count|wie ?viele seiten|combien de pages|cuantas paginas"
    r"|hoeveel paginas?)\b"
)

Told: TypeAlias = tuple[str, list[tuple[int, Passage]]]
"""What is said, and the quoted passages with the number of their document, counted from 0."""


def describe(question: str, documents: Sequence[Asked]) -> Told | None:
    """The title or the number of pages of each document, where just that is asked."""
    folded = fold(question).lower()
    topics = _topics(folded)
    shown = documents[: overview.MAX_DOCUMENTS]
    if topics <= _PAGES and _COUNTING.search(folded):
        return "\n\n".join(f"{one.name}{overview.length(one)}." for one in shown), []
    if not topics or not topics <= _TITLES:
        return None
    titles = [(number, title) for number, one in enumerate(shown) if (title := _of_first_page(one, front.title))]
    said = [
        f"The title of {documents[number].name} reads: {overview.quotation(title, documents[number])}."
        for number, title in titles
    ]
    return ("\n\n".join(said), titles) if titles else None


def authors(question: str, documents: Sequence[Asked]) -> Told | None:
    """What the first pages say above their first section, where the question is who wrote the documents."""
    topics = _topics(fold(question).lower())
    if not topics & _AUTHORS or not topics <= _AUTHORS | _TITLES:
        return None
    shown = documents[: overview.MAX_DOCUMENTS]
    fronts = [(number, found) for number, one in enumerate(shown) if (found := _of_first_page(one, front.lines))]
    said = []
    for number, found in fronts:
        of_which = f" of {documents[number].name}" if len(documents) > 1 else ""
        said.append(f"The first page{of_which} says: {overview.quotation(found, documents[number])}")
    return ("\n\n".join(said), fronts) if fronts else None


def _topics(folded: str) -> set[str]:
    return set(re.findall(r"[\w'-]+", folded.replace("’", "'"))) - _OTHERS


def _of_first_page(document: Asked, find: Callable[[Index, int], Passage | None]) -> Passage | None:
    numbers = document.index.page_numbers()
    return find(document.index, numbers[0]) if numbers else None
