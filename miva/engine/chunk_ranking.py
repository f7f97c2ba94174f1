"""Which chunks of the asked documents speak about a question: words and meaning, fused."""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from miva.engine.asked import Asked
from miva.engine.stores.base import Index, Passage, VectorStore
from miva.engine.text import one_line, plain_words
from miva.engine.vectors import Vectors

TOP_CHUNKS = 5
_CANDIDATES = 50
"""Of each of the two lists, the one by words and the one by meaning."""
_SEARCHED_FOR_DEFINITION = 20
_DEFINING = 0.2
"""What a definition adds to a chunk's score, where one is asked for."""
_UNKNOWN_COSINE = 0.5
"""A chunk without a meaning, because its vector is not there yet or the model cannot read it, counts as so near, in
proportion to how well its words fit."""

Place: TypeAlias = tuple[int, int]
"""A document, counted from 0 among those asked, and a chunk of it."""


class Rarity(NamedTuple):
    """How rare a term is in the asked documents: its inverse document frequency, and whether none of them has it."""

    idf: float
    is_unknown: bool


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
        place: scores[place] + _DEFINING
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
