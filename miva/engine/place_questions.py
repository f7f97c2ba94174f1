"""Questions about one page or one chapter: answered from that place alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from miva.engine import central, overview, parts
from miva.engine.asked import Asked
from miva.engine.stores.base import Passage
from miva.engine.text import fold, plain_words

QUOTES = 5

_PAGE = re.compile(
    r"\b(?:page|seite|pagina|страниц\w*)\s+(?:number\s+|no\.?\s*|nr\.?\s*)?(\d{1,5})\b|第\s*(\d{1,5})\s*[页頁]"
    r"|\b(first|last)\s+page\b|\b(erste|letzte)n?\s+seite\b",
    re.IGNORECASE,
)
_KINDS = "section|chapter|part|title|article|appendix|kapitel|abschnitt|teil|artikel|chapitre|capitulo"
# A letter is a label only as a capital, and "I" only behind another one: not in "the article I uploaded".
_PART = re.compile(
    rf"\b((?i:{_KINDS})(?=\s+(?!I\b))|{'|'.join(kind.title() for kind in _KINDS.split('|'))})\s+"
    r"(\d+(?:\.\d+)*|[IVXLC]+|[ivxlc]{2,}|[A-Z])\b(?!')"
)

_KIND = re.compile(rf"\b(?:{_KINDS})\b")
_CALLED = re.compile(rf"\b({_KINDS}) (?:called|named|titled|entitled|on|about|with the title)\b")
_NUMBER = re.compile(r"\A(?:\d+(?:\.\d+)*\.?|[IVX]+\.|[A-Z]\.)\s+")
_IN_BRACKETS = re.compile(r"\s*\([^()]*\)\Z")


def names_a_place(question: str) -> bool:
    """Whether a question is about a numbered page, chapter or section."""
    folded = fold(question)
    return bool(_PAGE.search(folded) or _PART.search(folded))


def describe(question: str, documents: Sequence[Asked]) -> tuple[str, list[tuple[int, Passage]]] | None:
    """What stands at the place that a question is about as a whole ("what does page 3 say?"), and the quoted passages
    with the number of their document; None where it asks for something else, or there is no such part."""
    folded = fold(question)
    if (named := _of_named_part(question, documents)) is not None:
        return named
    paged = [(number, one) for number, one in enumerate(documents[: overview.MAX_DOCUMENTS]) if one.paged]
    rest = _PART.sub(" ", _PAGE.sub(" ", folded))
    if not paged or rest == folded or not (overview.is_about_all(rest.lower()) or not rest.strip(" ?.!")):
        return None
    if (page := _PAGE.search(folded)) is not None:
        return _joined([(number, *_of_page(document, page)) for number, document in paged])
    if (part := _PART.search(folded)) is not None:
        found = [(number, told) for number, document in paged if (told := _of_part(document, *part.groups()))]
        return _joined([(number, *told) for number, told in found]) if found else None
    return None


def _of_named_part(question: str, documents: Sequence[Asked]) -> tuple[str, list[tuple[int, Passage]]] | None:
    """What stands in the part that is asked about by its title ("the section Talos", "the Talos section")."""
    words = _CALLED.sub(r"\1", plain_words(question))
    if not _KIND.search(words):
        return None
    told = []
    for number, document in enumerate(documents[: overview.MAX_DOCUMENTS]):
        named = [(title, part) for part in parts.every(document.index) if (title := _named(words, part.title))]
        if document.paged and named:
            part = max(named, key=lambda one: len(one[0]))[1]
            told.append((number, *_quoted_part(document, part)))
    return _joined(told) if told else None


def _named(words: str, title: str) -> str:
    """The plain title, where the words ask about the part of this title as a whole; else nothing."""
    plain = plain_words(_NUMBER.sub("", _IN_BRACKETS.sub("", title)))
    if plain not in words:  # quick about most
        return ""
    # "this article says": words that any question about a whole has are the title of a section or chapter at most.
    kinds = "section|chapter|kapitel|abschnitt" if overview.is_about_all(plain) else _KINDS
    rest, found = re.subn(rf"\b({kinds}) {re.escape(plain)}\b|\b{re.escape(plain)} ({kinds})\b", " ", words)
    return plain if found and overview.is_about_all(f"section {rest}") else ""


def _joined(told: list[tuple[int, str, list[Passage]]]) -> tuple[str, list[tuple[int, Passage]]]:
    quoted = [(number, passage) for number, _, passages in told for passage in passages]
    return "\n\n".join(words for _, words, _ in told), quoted


def _of_page(document: Asked, asked: re.Match[str]) -> tuple[str, list[Passage]]:
    latin, dense, english, german = asked.groups()
    count = document.index.page_count()
    digits = latin or dense
    page = int(digits) if digits else 1 if (english or german).lower() in ("first", "erste") else count
    if not 1 <= page <= count:
        return f"{document.name}{overview.length(document)}; I have read no page {page}.", []
    return _quoted(f"Page {page} of {document.name}", document, document.index.page_passages(page, parts.PASSAGES_READ))


def _of_part(document: Asked, kind: str, label: str) -> tuple[str, list[Passage]] | None:
    """The chapter or section whose title begins with this number, with or without the word before it."""
    begins = re.compile(rf"(?:{kind}\s+)?{re.escape(label)}(?![\w.]*\w)", re.IGNORECASE)
    for part in parts.every(document.index):
        if begins.match(fold(part.title)):
            return _quoted_part(document, part)
    return None


def _quoted_part(document: Asked, part: parts.Part) -> tuple[str, list[Passage]]:
    passages = parts.sentences(document.index, part.page, part.after)
    return _quoted(f"{part.title} (page {part.page} of {document.name})", document, passages)


def _quoted(place: str, document: Asked, passages: list[Passage]) -> tuple[str, list[Passage]]:
    chosen = central.most_telling(passages, QUOTES) or passages[:QUOTES]
    if not chosen:
        return f"{place} has no text that I can read.", []
    lines = [f"- {overview.quotation(passage, document)}" for passage in chosen]
    return "\n".join([f"{place} says:", *lines]), chosen
