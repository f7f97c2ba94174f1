"""The wording of an answer: the documents' own words in quotation marks, each with its page, and nothing invented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from miva.engine import comparing, front_questions, listing, overview, parts, place_questions
from miva.engine.asked import Asked
from miva.engine.llm.task import Excerpt
from miva.engine.quoting import Quote, quotes
from miva.engine.search import Found, find
from miva.engine.sentence_ranking import Embed, SentenceHit, names_only
from miva.engine.stores.base import Passage
from miva.engine.text import MAX_QUESTION, STOP_WORDS, fold, one_line, query_terms

SOURCES = 5
# Below this (a half is what speaks about the question) not even the closest passage is worth showing.
FAINT = 0.25
_TITLED = 0.3
"""So much more of the question a heading must have than the best sentence, for what stands below it to come first."""
_LISTS_SOUGHT = 2
"""Below so many of the best hits a list is looked for."""

_GREETING_WORDS = """
hello hi hey hallo hola bonjour salut ciao servus moin ola namaste salam shalom greetings morning afternoon evening
good day there guten tag morgen abend
buongiorno buenas buenos tardes bom dia bonsoir thanks thank thx merci danke gracias grazie obrigado
bye goodbye ok okay cool great nice
你好 您好 こんにちは 안녕하세요 привет مرحبا
"""
_THANKS = frozenset({"thanks", "thank", "thx", "merci", "danke", "gracias", "grazie", "obrigado"})
_GREETINGS = frozenset(_GREETING_WORDS.split())
_ABOUT_ME = re.compile(
    r"(?:who|what) (?:are|r) (?:you|u)\b|what (?:can|do) you do|how do(?:es)? (?:you|this|it) work|\Ahelp\W*\Z"
)
_PRONOUN = re.compile(
    r"\b(?:he|she|it|they|him|her|his|hers|its|them|their|theirs|this|that|these|those|there|then"
    r"|er|sie|ihr|ihm|ihnen|dessen|il|elle|ils|elles|lui|leur|él|ella|ellos|ellas)\b",
    re.IGNORECASE,
)
_LEANS = re.compile(rf"{_PRONOUN.pattern}|^\W*(?:and|or|but|also|what about|how about|und|et|y|e)\b", re.IGNORECASE)
"""What goes on from a question before it."""
_INTRODUCTION = "I answer questions about documents in the documents' own words and say on which page they stand. "
ATTACH = "Attach a PDF or a text file to your question, and I will look the answer up in it."


Source: TypeAlias = dict[str, str | int | None]
"""Where a quote stands: `document` (its id), `name`, `page` (None without pages), `quote` (the words, white space made
single spaces), and `start` and `end`, the offsets in characters of the very passage in the page's text."""


@dataclass(frozen=True)
class Answer:
    """What is said, and its sources, best first.

    `excerpts` are what it was taken from, best first, for a language model to put it in its own words; none where
    there is nothing to be put differently (a greeting, or nothing found).
    """

    text: str
    sources: list[Source]
    excerpts: tuple[Excerpt, ...] = ()
    is_overview: bool = False


def compose(question: str, documents: Sequence[Asked], embed: Embed, previous: str = "") -> Answer:
    """Answer a question from `documents`; `previous` is the question before it, for one that makes no sense alone."""
    question = question[:MAX_QUESTION]
    if _is_greeting(question):
        rest = "Ask me anything about it." if documents else ATTACH
        is_thanks = question.lower().split()[0].strip("!.,") in _THANKS
        return Answer(f"{'You are welcome.' if is_thanks else 'Hello!'} {_INTRODUCTION}{rest}", [])
    if not documents:
        asked = "I have no document to look in. " if question.strip() else ""
        return Answer(asked + ATTACH, [])
    told = place_questions.describe(question, documents) or front_questions.describe(question, documents)
    if told is not None:
        return _told(*told, documents)
    is_comparison = comparing.is_comparison(question, documents, previous)
    is_about_all = is_comparison or not question.strip() or overview.is_overview(question)
    if is_about_all and not place_questions.names_a_place(question):
        text, quoted = overview.describe(list(documents))
        text = f"{comparing.INTRODUCTION}\n\n{text}" if is_comparison else text
        return replace(_told(text, quoted, documents), is_overview=True)
    if _ABOUT_ME.match(fold(question).lower().strip()):
        return Answer(f"{_INTRODUCTION}Ask me anything about {_names(documents)}.", [])
    found = _found(question, documents, embed, previous)
    authors = None if found.is_telling else front_questions.authors(question, documents)
    return _told(*authors, documents) if authors is not None else _quote(found, documents)


def _told(text: str, quoted: Sequence[tuple[int, Passage]], documents: Sequence[Asked]) -> Answer:
    """What was told of a document or a place in it, with the passages that it quotes."""
    sources = [_source(documents[number], passage) for number, passage in quoted]
    excerpts = [_excerpt(documents[number], [passage]) for number, passage in quoted]
    return Answer(text + _unread(documents), sources, tuple(excerpts))


def _found(question: str, documents: Sequence[Asked], embed: Embed, previous: str) -> Found:
    """What speaks about a question, by itself or behind the one before it."""
    if not previous or not leans_on_another(question):
        return find(question, documents, embed)
    alone = None
    if not _LEANS.search(question) and set(query_terms(question)) - STOP_WORDS:
        alone = find(question, documents, embed)  # "friction?" may be all that is meant
        if alone.is_telling:
            return alone
    together = find(question, documents, embed, previous)
    if together.is_telling or alone is not None:
        return together
    alone = find(question, documents, embed)  # the question before may have been about something else
    return alone if alone.is_telling else together


def _is_greeting(question: str) -> bool:
    words = re.findall(r"\w+", question.lower())
    return 0 < len(words) <= 6 and all(w in _GREETINGS or w in STOP_WORDS for w in words) and words[0] in _GREETINGS


def leans_on_another(question: str) -> bool:
    """Whether a question makes no sense alone: hardly a word with a topic, or a pronoun and no name it could mean."""
    terms = query_terms(question)
    if len(terms) < 2 or all(term in STOP_WORDS for term in terms):
        return True
    words = question.split()
    is_named = any(word[:1].isupper() or word[:1].isdigit() for word in words[1:] if word != "I")
    return not is_named and _PRONOUN.search(question) is not None


def _quote(found: Found, documents: Sequence[Asked]) -> Answer:
    if found.relevance < FAINT:
        return Answer(f"I did not find this in {_names(documents)}. Try other words.{_unread(documents)}", [])
    telling = [hit for hit in found.sentences if not names_only(hit.passage)] or found.sentences
    shown = quotes(telling, documents, _listed(found, documents) or _headed(found, telling[0], documents))
    lines = [overview.quotation(quote.passage, documents[quote.document]) for quote in shown]
    if len(documents) > 1:
        lines = [f"{documents[quote.document].name}: {line}" for quote, line in zip(shown, lines, strict=True)]
    if not found.is_telling:
        heading = f"I did not find this in {_names(documents)}; the closest passages are:"
    else:
        heading = "The documents say:" if len(documents) > 1 else "The document says:"
    text = f"{heading} {lines[0]}" if len(lines) == 1 else "\n\n".join([heading, *lines])
    sources = _sources(documents, shown, telling)
    excerpts = [_excerpt(documents[number], passages) for (number, _), passages in found.chunks]
    return Answer(text + _unread(documents), sources, tuple(excerpts) if found.is_telling else ())


def _listed(found: Found, documents: Sequence[Asked]) -> tuple[int, list[Passage]] | None:
    """The list that a question asks for, with the line above it, and its document: below one of the best hits."""
    if not (found.for_list and found.is_telling):
        return None
    for hit in found.sentences[:_LISTS_SOUGHT]:
        page = documents[hit.document].index.page_passages(hit.passage.page, parts.PASSAGES_READ)
        if points := listing.below(hit.passage, page):
            return hit.document, [hit.passage, *points]
    return None


def _headed(found: Found, best: SentenceHit, documents: Sequence[Asked]) -> tuple[int, list[Passage]] | None:
    """A heading that has more of the question than the best hit, with what stands below it, and its document."""
    titles = (hit for hit in found.sentences if hit.passage.heading and hit.coverage > best.coverage + _TITLED)
    if not found.is_telling or (title := next(titles, None)) is None:
        return None
    page = documents[title.document].index.page_passages(title.passage.page, parts.PASSAGES_READ)
    below = [one for one in page if one.number == title.passage.number + 1]
    return (title.document, [title.passage, *below]) if below else None


def _sources(documents: Sequence[Asked], quoted: Sequence[Quote], hits: Sequence[SentenceHit]) -> list[Source]:
    """What was quoted, then the best sentence of each further page that speaks about the question or holds a word of
    it, up to `SOURCES` in all."""
    sources = [(quote.document, quote.passage) for quote in quoted]
    pages = {(number, passage.page) for number, passage in sources}
    for hit in hits:
        is_about_it = hit.coverage > 0 or hit.relevance >= 0.5
        if is_about_it and len(sources) < SOURCES and (hit.document, hit.passage.page) not in pages:
            pages.add((hit.document, hit.passage.page))
            sources.append((hit.document, hit.passage))
    return [_source(documents[number], passage) for number, passage in sources]


def _source(document: Asked, passage: Passage) -> Source:
    return {
        "document": document.id,
        "name": document.name,
        "page": passage.page if document.paged else None,
        "quote": one_line(passage.text),
        "start": passage.start,
        "end": passage.end,
    }


def _excerpt(document: Asked, passages: Sequence[Passage]) -> Excerpt:
    page = passages[0].page if document.paged else None
    return Excerpt(document.name, page, " ".join(one_line(passage.text) for passage in passages))


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
