"""The wording of an answer: the documents' own words in quotation marks, each with its page, and nothing invented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from miva.engine import overview
from miva.engine.index import Passage
from miva.engine.search import Asked, SentenceHit, find
from miva.engine.text import MAX_QUESTION, STOP_WORDS, fold, one_line, query_terms

QUOTES = 3
SOURCES = 5
# Where no sentence holds this share of the question (by weight of its terms) they speak about something else.
MIN_COVERAGE = 0.3
_KEEP = 0.45  # a quote must be at least so good, measured by the best one

_GREETING_WORDS = """
hello hi hey hallo hola bonjour salut ciao servus moin ola namaste salam shalom greetings morning afternoon evening
good day there guten tag morgen abend
buongiorno buenas buenos tardes bom dia bonsoir thanks thank thx merci danke gracias grazie obrigado
bye goodbye ok okay cool great nice
你好 您好 こんにちは 안녕하세요 привет مرحبا
"""
_GREETINGS = frozenset(_GREETING_WORDS.split())
_ABOUT_ME = re.compile(
    r"(?:who|what) (?:are|r) (?:you|u)\b|what (?:can|do) you do|how do(?:es)? (?:you|this|it) work|\Ahelp\W*\Z"
)
_INTRODUCTION = "I answer questions about documents in the documents' own words and say on which page they stand. "
ATTACH = "Attach a PDF or a text file to your question, and I will look the answer up in it."


@dataclass(frozen=True)
class Answer:
    """What is said, and its sources, best first: document id, name, page (None without pages) and the exact quote."""

    text: str
    sources: list[dict[str, str | int | None]]


def compose(question: str, documents: Sequence[Asked], previous: str = "") -> Answer:
    """Answer a question from `documents`; `previous` is the question before it, for one that makes no sense alone."""
    question = question[:MAX_QUESTION]
    if _is_greeting(question):
        rest = "Ask me anything about it." if documents else ATTACH
        return Answer(f"Hello! {_INTRODUCTION}{rest}", [])
    if not documents:
        asked = "I have no document to look in. " if question.strip() else ""
        return Answer(asked + ATTACH, [])
    if not question.strip() or overview.is_overview(question):
        text, quoted = overview.describe(list(documents))
        sources = [_source(documents[number], passage) for number, passage in quoted]
        return Answer(text + _unread(documents), sources)
    if _ABOUT_ME.match(fold(question).lower().strip()):
        return Answer(f"{_INTRODUCTION}Ask me anything about {_names(documents)}.", [])
    return _quote(question, documents, previous if _is_fragment(question) else "")


def _is_greeting(question: str) -> bool:
    words = re.findall(r"\w+", question.lower())
    return 0 < len(words) <= 6 and all(w in _GREETINGS or w in STOP_WORDS for w in words) and words[0] in _GREETINGS


def _is_fragment(question: str) -> bool:
    terms = query_terms(question)
    return len(terms) < 2 or all(term in STOP_WORDS for term in terms)


def _quote(question: str, documents: Sequence[Asked], previous: str) -> Answer:
    found = find(question, documents, previous)
    if not found:
        return Answer(f"I did not find this in {_names(documents)}. Try other words.{_unread(documents)}", [])
    telling = [hit for hit in found if not hit.passage.heading] or found
    best = _best(telling)
    quotes = _merged(best)
    lines = [overview.quotation(passage, documents[number]) for number, passage, _ in quotes]
    if len(documents) > 1:
        lines = [f"{documents[number].name}: {line}" for (number, _, _), line in zip(quotes, lines, strict=True)]
    if max(hit.coverage for hit in found) < MIN_COVERAGE:
        heading = f"I did not find this in {_names(documents)}; the closest passages are:"
    else:
        heading = "The documents say:" if len(documents) > 1 else "The document says:"
    text = f"{heading} {lines[0]}" if len(lines) == 1 else "\n\n".join([heading, *lines])
    ranked = [(number, passage) for number, passage, _ in sorted(quotes, key=lambda quote: -quote[2])]
    return Answer(text + _unread(documents), _sources(documents, ranked, [hit for hit in telling if hit not in best]))


def _best(hits: list[SentenceHit]) -> list[SentenceHit]:
    """The best hit, and those behind it that are nearly as good and hold a word of the question."""
    others = hits[1:QUOTES]
    return [hits[0]] + [hit for hit in others if hit.score >= _KEEP * hits[0].score and hit.coverage > 0]


def _merged(hits: list[SentenceHit]) -> list[tuple[int, Passage, float]]:
    """The sentences in reading order, neighbours joined as they stand, as (document, passage, best score)."""
    quotes: list[tuple[int, Passage, float]] = []
    last = -2
    for hit in sorted(hits, key=lambda h: (h.document, h.passage.number)):
        here = hit.passage
        if quotes and quotes[-1][0] == hit.document and quotes[-1][1].page == here.page and last + 1 == here.number:
            number, before, score = quotes[-1]
            gap = "" if before.start + len(before.text) == here.start else " "
            joined = replace(before, text=before.text + gap + here.text)
            quotes[-1] = (number, joined, max(score, hit.score))
        else:
            quotes.append((hit.document, here, hit.score))
        last = here.number
    return quotes


def _sources(
    documents: Sequence[Asked], quoted: list[tuple[int, Passage]], others: list[SentenceHit]
) -> list[dict[str, str | int | None]]:
    """What was quoted, then the best sentence of each further page, up to `SOURCES` in all."""
    sources = list(quoted)
    pages = {(number, passage.page) for number, passage in quoted}
    for hit in others:
        if len(sources) < SOURCES and (hit.document, hit.passage.page) not in pages:
            pages.add((hit.document, hit.passage.page))
            sources.append((hit.document, hit.passage))
    return [_source(documents[number], passage) for number, passage in sources]


def _source(document: Asked, passage: Passage) -> dict[str, str | int | None]:
    page = passage.page if document.paged else None
    return {"document": document.id, "name": document.name, "page": page, "quote": one_line(passage.text)}


def _names(documents: Sequence[Asked]) -> str:
    names = list(dict.fromkeys(document.name for document in documents))
    return ", ".join(names) if len(names) <= 3 else f"the {len(documents)} documents"


def _unread(documents: Sequence[Asked]) -> str:
    """What is still missing where a document is asked before it has been read to the end."""
    notes = [
        f"I have read {document.read[0]} of {document.read[1]} pages of {document.name} so far."
        for document in documents
        if document.read
    ]
    return "\n\n" + " ".join(notes) if notes else ""
