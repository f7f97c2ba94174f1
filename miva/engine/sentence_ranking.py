"""Which sentences of the chunks that were found tell most about the question, by its words and by meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from miva.engine import figures, leaning, tables
from miva.engine.chunk_ranking import Place
from miva.engine.passages import is_contents_line
from miva.engine.stores.base import Passage
from miva.engine.stores.sqlite_index import which_match
from miva.engine.text import count_tokens, is_latin, one_line, plain_words
from miva.engine.vectors import Vectors

TELLING, TELLING_BY_MEANING, TELLING_BY_WORDS = 0.38, 0.45, 0.3
"""What the best sentence must reach for a document to speak about a question: half coverage and half cosine, or the
cosine alone, for who asks in other words; without a model the coverage. On the public evaluation set (`make eval`)
0.38 refuses 196 of 200 questions about something else and 2 of 200 that the document answers; when it was chosen, 0.3
refused 190 and 1, 0.45 refused 198 and 3."""
_READ_FOR_MEANING = 4
"""Sentences whose meaning is read, beside the best one of each chunk: with 6 the public set's figures are the same,
with 19 within half a per cent; with 3 the answers to 1 in 200 questions are worse."""
_WORTH_READING = 0.4
"""What a sentence must have of the best one's score by words for its meaning to be read. 6 sentences are, where without
a bound it would be 7 with the same figures on the public set; with 0.5, 1 in 200 answers and pages is worse."""
_AS_GOOD = 0.9  # of a better chunk's score: a chunk further in front that says the same is cited instead
_DEFINING = 0.3
"""What a definition adds to a sentence's score, where one is asked for."""
_FIGURE = 0.05
"""What a figure adds to it, where a figure is asked for: enough between equals; with 0.1 what speaks less about the
question comes first too often."""
_LEANT_ON = 0.5
"""What a word of the question counts in a sentence that leans on another one, where only the other one has it: "His
orders were to hold the fort." is about whom the sentence before it names. With 1 the pages are found a little worse."""

Embed: TypeAlias = Callable[[Sequence[str]], Vectors | None]
"""Rows of unit length for some texts, or None while there is no model (or no time for it)."""


@dataclass(frozen=True)
class SentenceHit:
    """A sentence, its score, the share of the question (by weight of its terms, 0 to 1) that it holds, how near it is
    in meaning (cosine, None without a model), and, where its chunk has them, the sentence that it leans on and the one
    that leans on it. `by_meaning_alone`: whether a near meaning is enough for it to speak about the question, or a word
    of it must be there, too."""

    document: int
    passage: Passage
    score: float
    coverage: float
    cosine: float | None
    before: Passage | None = None
    behind: Passage | None = None
    by_meaning_alone: bool = True

    @property
    def relevance(self) -> float:
        """How sure it is that the sentence speaks about the question, from 0 to 1, as a share of what is telling: 0.5
        is the line between the two."""
        if self.cosine is None:
            reached = self.coverage / TELLING_BY_WORDS
        else:
            both = 0.5 * self.coverage + 0.5 * self.cosine
            reached = both / TELLING
            if self.by_meaning_alone or self.coverage > 0:
                reached = max(reached, self.cosine / TELLING_BY_MEANING)
        return min(1.0, max(0.0, reached / 2))


def best_sentences(
    chunks: list[tuple[Place, float, list[Passage]]],
    value: dict[str, float],
    vector: Vectors | None,
    embed: Embed,
    definition: re.Pattern[str] | None,
    *,
    for_figure: bool = False,
    for_list: bool = False,
    by_meaning_alone: bool = True,
) -> list[SentenceHit]:
    """The sentences of the chunks, best first.

    `value` gives each of the question's terms its weight, `vector` the question's meaning as one row, None where there
    is no model. `definition` is found in a sentence that defines what the question asks about. `for_figure`: a
    number or a date is asked for; `for_list`: a list may be, and a heading, which may have one below it, counts as much
    as a sentence; `by_meaning_alone` as in `SentenceHit`.
    """
    candidates = _candidates(chunks, value, definition, for_figure, for_list)
    if vector is None or not candidates:
        return _ranked([_by_words(one) for one in candidates])
    promising, others = _promising(candidates)
    readable = [one for one in promising if is_latin(one.passage.text)]
    rows = embed([one_line(one.passage.text) for one in readable])
    if rows is None:
        return _ranked([_by_words(one) for one in candidates])
    by_meaning = [_by_meaning(one, float(cosine)) for one, cosine in zip(readable, rows @ vector[0], strict=True)]
    hits = by_meaning + [_by_words(one) for one in promising if one not in readable]
    hits += [_by_meaning(one, 0.0) for one in others]  # behind what was read, and by itself no answer
    return _ranked([replace(hit, by_meaning_alone=by_meaning_alone) for hit in hits])


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of a good chunk: the chunk's rank from 0, its score as a share of the best one's, the share of the
    question that the sentence holds, whether it defines what the question asks about, and the neighbours that belong to
    it, as in `SentenceHit`, whether it has a figure where one is asked for, and whether it is no answer by itself."""

    document: int
    passage: Passage
    rank: int
    share: float
    coverage: float
    defines: bool
    before: Passage | None
    behind: Passage | None
    has_figure: bool
    names_only: bool


def _candidates(
    chunks: list[tuple[Place, float, list[Passage]]],
    value: dict[str, float],
    definition: re.Pattern[str] | None,
    for_figure: bool,
    for_list: bool,
) -> list[_Candidate]:
    """The sentences of the chunks that have a letter, each once, wherever it stands again: where it stands first in
    the document, if what is around it there fits about as well."""
    found: dict[str, tuple[int, Passage, int]] = {}
    before: dict[tuple[int, int], Passage] = {}
    behind: dict[tuple[int, int], Passage] = {}
    for rank, ((document, _), score, passages) in enumerate(chunks):
        for first, second in leaning.pairs(passages):
            before[document, second.number] = first
            behind[document, first.number] = second
        for names, row in tables.pairs(passages):
            before.setdefault((document, row.number), names)
        for passage in passages:
            if not any(map(str.isalpha, passage.text)):  # bare digits say nothing, whatever was asked
                continue
            words = plain_words(passage.text)
            other, same, best = found.setdefault(words, (document, passage, rank))
            if other == document and passage.number < same.number and score >= _AS_GOOD * chunks[best][1]:
                found[words] = (document, passage, best)
    asked = sum(value.values()) or 1.0
    top = chunks[0][1] if chunks else 1.0
    matches = which_match([passage.text for _, passage, _ in found.values()], list(value))
    held = {(document, one.number): terms for (document, one, _), terms in zip(found.values(), matches, strict=True)}

    def coverage(document: int, number: int) -> float:
        own = held[document, number]
        other = before.get((document, number))
        leant_on = held.get((document, other.number), set()) - own if own and other is not None else set()
        return (sum(value[term] for term in own) + _LEANT_ON * sum(value[term] for term in leant_on)) / asked

    return [
        _Candidate(
            document,
            passage,
            rank,
            chunks[rank][1] / top,
            coverage(document, passage.number),
            definition is not None and definition.search(one_line(passage.text)) is not None,
            before.get((document, passage.number)),
            behind.get((document, passage.number)),
            for_figure and figures.has_one(passage.text),
            names_only(passage) and not (for_list and passage.heading),
        )
        for document, passage, rank in found.values()
    ]


def _promising(candidates: list[_Candidate]) -> tuple[list[_Candidate], list[_Candidate]]:
    """The best by their words and their chunk, and the best of each chunk: first those whose meaning is worth reading,
    which is most of what a question costs, then those that are much worse than the best of all."""
    scores = {one: 0.5 * one.coverage + 0.5 * one.share + _worth(one) for one in candidates}
    best = sorted(candidates, key=lambda one: scores[one], reverse=True)
    top = scores[best[0]]
    of_chunks: dict[int, _Candidate] = {}
    for one in best:
        of_chunks.setdefault(one.rank, one)
    promising = list(dict.fromkeys([*best[:_READ_FOR_MEANING], *of_chunks.values()]))
    bound = min(top, _WORTH_READING * top)
    return [one for one in promising if scores[one] >= bound], [one for one in promising if scores[one] < bound]


def _by_words(one: _Candidate) -> SentenceHit:
    # A long sentence holds more words of any question.
    score = 0.6 * one.coverage + 0.4 * one.share - 0.05 * _length(one)
    return _hit(one, score, None)


def _by_meaning(one: _Candidate, cosine: float) -> SentenceHit:
    # A vector says less the longer its sentence is.
    score = 0.5 * one.coverage + 0.5 * cosine + 0.1 * one.share + 0.05 * _length(one)
    return _hit(one, score, cosine)


def _hit(one: _Candidate, score: float, cosine: float | None) -> SentenceHit:
    return SentenceHit(one.document, one.passage, score + _worth(one), one.coverage, cosine, one.before, one.behind)


def _length(one: _Candidate) -> float:
    return min(1.0, count_tokens(one.passage.text) / 60)


def _worth(one: _Candidate) -> float:
    """A heading names its subject and tells nothing about it, and so does a line of a table of contents."""
    asked_for = (_DEFINING if one.defines else 0.0) + (_FIGURE if one.has_figure else 0.0)
    return asked_for - (0.3 if one.names_only else 0.0)


def names_only(passage: Passage) -> bool:
    """Whether it names its subject and tells nothing about it: a heading, a line of a table of contents."""
    return passage.heading or is_contents_line(passage.text)


def _ranked(hits: list[SentenceHit]) -> list[SentenceHit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.document, hit.passage.number))
