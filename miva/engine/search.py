"""Which passages of the asked documents speak about a question: words and meaning, fused; then the best sentences."""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from miva.engine.definitions import definition_of, topic
from miva.engine.passages import is_contents_line
from miva.engine.spelling import respelled
from miva.engine.stores.base import Index, Passage, VectorStore
from miva.engine.stores.sqlite_index import which_match
from miva.engine.text import STOP_WORDS, count_tokens, is_latin, one_line, plain_words, query_terms
from miva.engine.vectors import Vectors

TOP_CHUNKS = 5
TELLING, TELLING_BY_MEANING, TELLING_BY_WORDS = 0.38, 0.45, 0.3
"""What the best sentence must reach for a document to speak about a question: half coverage and half cosine, or the
cosine alone, for who asks in other words; without a model the coverage. On the public evaluation set 0.38 refuses 200
of 200 questions about something else and 3 of 200 that the document answers; 0.45 refuses all of the first as well (of
100, the nearest sentence has 0.44) and fewer of the second; 0.3 refuses 93 % at 3 % (docs/evaluation.md)."""
_CANDIDATES = 50
"""Of each of the two lists, the one by words and the one by meaning."""
_READ_FOR_MEANING = 6
"""Sentences whose meaning is read, beside the best one of each chunk: with all 19 (the mean) the public set's figures
are the same within half a per cent, at twice the processor time."""
_CONTEXT_WEIGHT = 0.3
_AS_GOOD = 0.9  # of a better chunk's score: a chunk further in front that says the same is cited instead
_SEARCHED_FOR_DEFINITION = 20
_DEFINING_CHUNK, _DEFINING_SENTENCE = 0.2, 0.3
"""What a definition adds to the score of a chunk and of a sentence, where one is asked for."""
_UNKNOWN_COSINE = 0.5
"""A chunk without a meaning, because its vector is not there yet or the model cannot read it, counts as so near, in
proportion to how well its words fit."""

Embed: TypeAlias = Callable[[Sequence[str]], Vectors | None]
"""Rows of unit length for some texts, or None while there is no model (or no time for it)."""
Place: TypeAlias = tuple[int, int]
"""A document, counted from 0 among those asked, and a chunk of it."""


@dataclass(frozen=True)
class Asked:
    """A document of a question: its id, the name to show for it, its index, where its vectors are, and, if it is still
    being read, how far."""

    id: str
    name: str
    index: Index
    vectors: VectorStore
    paged: bool = True
    read: tuple[int, int] | None = None


class Rarity(NamedTuple):
    """How rare a term is in the asked documents: its inverse document frequency, and whether none of them has it."""

    idf: float
    is_unknown: bool


@dataclass(frozen=True)
class SentenceHit:
    """A sentence, its score, the share of the question (by weight of its terms, 0 to 1) that it holds, and how near it
    is in meaning (cosine, None without a model)."""

    document: int
    passage: Passage
    score: float
    coverage: float
    cosine: float | None

    @property
    def relevance(self) -> float:
        """How sure it is that the sentence speaks about the question, from 0 to 1, as a share of what is telling: 0.5
        is the line between the two."""
        if self.cosine is None:
            reached = self.coverage / TELLING_BY_WORDS
        else:
            both = 0.5 * self.coverage + 0.5 * self.cosine
            reached = max(both / TELLING, self.cosine / TELLING_BY_MEANING)
        return min(1.0, max(0.0, reached / 2))


@dataclass(frozen=True)
class Found:
    """The sentences, best first, and the chunks they stand in, best first, each with its sentences."""

    sentences: list[SentenceHit]
    chunks: list[tuple[Place, list[Passage]]]

    @property
    def relevance(self) -> float:
        """Of the sentence that has most of it; 0 where there is none."""
        return max((hit.relevance for hit in self.sentences), default=0.0)

    @property
    def is_telling(self) -> bool:
        """Whether something here speaks about the question."""
        return self.relevance >= 0.5


def find(question: str, documents: Sequence[Asked], embed: Embed, context: str = "") -> Found:
    """What speaks about the question; the terms of `context`, an earlier question, count less.

    Only a question in Latin letters is looked for by meaning, and only among passages in such letters.
    """
    weights = {term: 1.0 for term in query_terms(topic(question)) if not (context and term in STOP_WORDS)}
    for term in query_terms(topic(context)) if context else ():
        weights.setdefault(term, _CONTEXT_WEIGHT)
    vector = embed([f"{one_line(context)} {one_line(question)}".strip()]) if is_latin(question) else None
    definition = definition_of(question)
    chunks, rarity = best_chunks(documents, weights, vector, definition)
    unknown = [term for term in weights if rarity[term].is_unknown]
    texts = (passage.text for _, _, passages in chunks for passage in passages)
    if meant := respelled(unknown, texts):
        weights = {meant.get(term, term): weight for term, weight in weights.items()}
        chunks, rarity = best_chunks(documents, weights, vector, definition)
    value = {term: rarity[term].idf * weight for term, weight in weights.items()}
    sentences = _best_sentences(chunks, value, vector, embed, definition)
    return Found(sentences, [(place, passages) for place, _, passages in chunks])


def best_chunks(
    documents: Sequence[Asked],
    weights: dict[str, float],
    vector: Vectors | None,
    definition: re.Pattern[str] | None = None,
) -> tuple[list[tuple[Place, float, list[Passage]]], dict[str, Rarity]]:
    """The best chunks by words and meaning, best first, each with its score and its sentences; and each term's rarity.

    `weights` gives each term's part in the question, `vector` its meaning as one row, None where there is no model.
    `definition` is found in a sentence that defines what the question asks about.
    """
    by_words, rarity = _keyword_scores(documents, weights)
    scores = _fused(by_words, documents, vector)
    if definition is not None:
        scores |= _defining(documents, scores, definition)
    return _distinct(documents, scores), rarity


def _defining(
    documents: Sequence[Asked], scores: dict[Place, float], definition: re.Pattern[str]
) -> dict[Place, float]:
    """Those of the best chunks that hold a definition, with better scores."""
    best = heapq.nsmallest(_SEARCHED_FOR_DEFINITION, scores, key=lambda place: (-scores[place], place))
    return {
        place: scores[place] + _DEFINING_CHUNK
        for place, passages in _passages(documents, best).items()
        if any(definition.search(one_line(passage.text)) for passage in passages)
    }


def _keyword_scores(
    documents: Sequence[Asked], weights: dict[str, float]
) -> tuple[list[NDArray[np.float64]], dict[str, Rarity]]:
    """For each document the BM25 scores of its chunks, and each term's rarity in just these documents."""
    terms = list(weights)
    kinds: defaultdict[type[Index], list[int]] = defaultdict(list)
    for number, document in enumerate(documents):
        kinds[type(document.index)].append(number)
    found = {
        number: one
        for kind, numbers in kinds.items()
        for number, one in zip(numbers, kind.postings_of([documents[n].index for n in numbers], terms), strict=True)
    }
    total = sum(count for count, _ in found.values())
    scores = [np.zeros(found[number][0]) for number in range(len(documents))]
    rarity: dict[str, Rarity] = {}
    for term, weight in weights.items():
        frequency = sum(len(postings[term][0]) for _, postings in found.values())
        idf = math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
        rarity[term] = Rarity(idf, is_unknown=frequency == 0)
        for number, (_, postings) in found.items():
            chunks, parts = postings[term]
            scores[number][chunks] += weight * idf * parts
    return scores, rarity


def _best(scores: Sequence[NDArray[np.float64]], most: int) -> dict[Place, float]:
    """The places with the highest scores above nothing, best first; of equal ones those that come first."""
    best: list[tuple[float, int, int]] = []
    for number, of_document in enumerate(scores):
        chunks = np.flatnonzero(of_document)
        if len(chunks) > most:
            own = of_document[chunks]
            chunks = chunks[own >= np.partition(own, -most)[-most]]
        best += [(-float(of_document[chunk]), number, int(chunk)) for chunk in chunks]
    return {(number, chunk): -score for score, number, chunk in heapq.nsmallest(most, best)}


def _fused(
    by_words: Sequence[NDArray[np.float64]], documents: Sequence[Asked], vector: Vectors | None
) -> dict[Place, float]:
    """Half the words, as a share of the best, and half the meaning, over the best of both lists."""
    best = _best(by_words, _CANDIDATES)
    top = max(best.values(), default=1.0)
    words = {place: score / top for place, score in best.items()}
    if vector is None:
        return words
    near = _nearest(documents, vector)
    for number, chunk in near:
        scores = by_words[number]
        words.setdefault((number, chunk), float(scores[chunk]) / top if chunk < len(scores) else 0.0)
    near |= _cosines(documents, [place for place in words if place not in near], vector)
    return {place: 0.5 * share + 0.5 * near.get(place, _UNKNOWN_COSINE * share) for place, share in words.items()}


def _nearest(documents: Sequence[Asked], vector: Vectors) -> dict[Place, float]:
    number_of = {document.id: number for number, document in enumerate(documents)}
    stores: defaultdict[VectorStore, list[str]] = defaultdict(list)
    for document in documents:
        stores[document.vectors].append(document.id)
    found = [
        near
        for store, ids in stores.items()
        for near in store.nearest(ids, vector, _CANDIDATES)
        if _has_meaning(near.cosine)
    ]
    found.sort(key=lambda near: -near.cosine)
    return {(number_of[near.document], near.chunk): near.cosine for near in found[:_CANDIDATES]}


def _cosines(documents: Sequence[Asked], places: list[Place], vector: Vectors) -> dict[Place, float]:
    wanted: defaultdict[VectorStore, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, chunk in places:
        wanted[documents[number].vectors][documents[number].id].append(chunk)
    found = {
        key: cosine
        for store, own in wanted.items()
        for key, cosine in store.cosines_of(own, vector).items()
        if _has_meaning(cosine)
    }
    keys = {place: (documents[place[0]].id, place[1]) for place in places}  # a document may be asked under two names
    return {place: found[key] for place, key in keys.items() if key in found}


def _has_meaning(cosine: float) -> bool:
    """Whether a store compared more than a row of zeros."""
    return cosine != 0 and not math.isnan(cosine)


def _passages(documents: Sequence[Asked], places: Sequence[Place]) -> dict[Place, list[Passage]]:
    """The sentences of these chunks."""
    kinds: defaultdict[type[Index], list[Place]] = defaultdict(list)
    for place in places:
        kinds[type(documents[place[0]].index)].append(place)
    return {
        place: passages
        for kind, own in kinds.items()
        for place, passages in zip(
            own, kind.passages_of([(documents[number].index, chunk) for number, chunk in own]), strict=True
        )
    }


def _distinct(documents: Sequence[Asked], scores: dict[Place, float]) -> list[tuple[Place, float, list[Passage]]]:
    """The best chunks with their sentences, best first; one that says nothing but what better ones say is passed over.

    Headings do not count for that: pages that repeat each other often differ in what stands above them.
    """
    ranked = heapq.nsmallest(_CANDIDATES, scores.items(), key=lambda item: (-item[1], item[0]))
    ahead = _passages(documents, [place for place, _ in ranked[:TOP_CHUNKS]])  # most often it is these
    chosen: list[tuple[Place, float, list[Passage]]] = []
    said: set[str] = set()
    for place, score in ranked:
        if len(chosen) == TOP_CHUNKS:
            break
        passages = (ahead if place in ahead else _passages(documents, [place]))[place]
        telling = [passage for passage in passages if not passage.heading] or passages
        words = {plain_words(passage.text) for passage in telling}
        if not chosen or words - said:
            said |= words
            chosen.append((place, score, passages))
    return chosen


def _best_sentences(
    chunks: list[tuple[Place, float, list[Passage]]],
    value: dict[str, float],
    vector: Vectors | None,
    embed: Embed,
    definition: re.Pattern[str] | None,
) -> list[SentenceHit]:
    candidates = _candidates(chunks, value, definition)
    if vector is None or not candidates:
        return _ranked([_by_words(one) for one in candidates])
    promising = _promising(candidates)
    readable = [one for one in promising if is_latin(one.passage.text)]
    rows = embed([one_line(one.passage.text) for one in readable])
    if rows is None:
        return _ranked([_by_words(one) for one in candidates])
    by_meaning = [_by_meaning(one, float(cosine)) for one, cosine in zip(readable, rows @ vector[0], strict=True)]
    return _ranked(by_meaning + [_by_words(one) for one in promising if one not in readable])


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of a good chunk: the chunk's rank from 0, its score as a share of the best one's, the share of the
    question that the sentence holds, and whether it defines what the question asks about."""

    document: int
    passage: Passage
    rank: int
    share: float
    coverage: float
    defines: bool


def _candidates(
    chunks: list[tuple[Place, float, list[Passage]]], value: dict[str, float], definition: re.Pattern[str] | None
) -> list[_Candidate]:
    """The sentences of the chunks that have a letter, each once, wherever it stands again: where it stands first in
    the document, if what is around it there fits about as well."""
    found: dict[str, tuple[int, Passage, int]] = {}
    for rank, ((document, _), score, passages) in enumerate(chunks):
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
    return [
        _Candidate(
            document,
            passage,
            rank,
            chunks[rank][1] / top,
            sum(value[term] for term in matched) / asked,
            definition is not None and definition.search(one_line(passage.text)) is not None,
        )
        for (document, passage, rank), matched in zip(found.values(), matches, strict=True)
    ]


def _promising(candidates: list[_Candidate]) -> list[_Candidate]:
    """Those whose meaning is worth reading, which is most of what a question costs: the best by their words and their
    chunk, and the best of each chunk."""
    best = sorted(candidates, key=lambda one: 0.5 * one.coverage + 0.5 * one.share + _worth(one), reverse=True)
    of_chunks: dict[int, _Candidate] = {}
    for one in best:
        of_chunks.setdefault(one.rank, one)
    return list(dict.fromkeys([*best[:_READ_FOR_MEANING], *of_chunks.values()]))


def _by_words(one: _Candidate) -> SentenceHit:
    # A long sentence holds more words of any question.
    score = 0.6 * one.coverage + 0.4 * one.share - 0.05 * _length(one)
    return SentenceHit(one.document, one.passage, score + _worth(one), one.coverage, None)


def _by_meaning(one: _Candidate, cosine: float) -> SentenceHit:
    # A vector says less the longer its sentence is.
    score = 0.5 * one.coverage + 0.5 * cosine + 0.1 * one.share + 0.05 * _length(one)
    return SentenceHit(one.document, one.passage, score + _worth(one), one.coverage, cosine)


def _length(one: _Candidate) -> float:
    return min(1.0, count_tokens(one.passage.text) / 60)


def _worth(one: _Candidate) -> float:
    """A heading names its subject and tells nothing about it, and so does a line of a table of contents."""
    return (_DEFINING_SENTENCE if one.defines else 0.0) - (0.3 if names_only(one.passage) else 0.0)


def names_only(passage: Passage) -> bool:
    """Whether it names its subject and tells nothing about it: a heading, a line of a table of contents."""
    return passage.heading or is_contents_line(passage.text)


def _ranked(hits: list[SentenceHit]) -> list[SentenceHit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.document, hit.passage.number))
