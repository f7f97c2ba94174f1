"""Which passages of the asked documents speak about a question: BM25 over chunks, then the best sentences in them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from miva.engine.index import DocumentIndex, Passage, which_match
from miva.engine.text import STOP_WORDS, count_tokens, query_terms

TOP_CHUNKS = 5


@dataclass(frozen=True)
class Asked:
    """A document of a question: its id, the name to show for it, its index, and, if it is still being read, how far."""

    id: str
    name: str
    index: DocumentIndex
    paged: bool = True
    read: tuple[int, int] | None = None


@dataclass(frozen=True)
class ChunkHit:
    """A chunk and its score; `document` counts the asked documents from 0."""

    document: int
    chunk: int
    score: float


@dataclass(frozen=True)
class SentenceHit:
    """A sentence, its score, and the share of the question (by weight of its terms, 0 to 1) that it holds."""

    document: int
    passage: Passage
    score: float
    coverage: float


def find(question: str, documents: Sequence[Asked], context: str = "") -> list[SentenceHit]:
    """The sentences that speak about the question, best first; terms of `context`, an earlier question, count less."""
    weights = {term: 1.0 for term in query_terms(question) if not (context and term in STOP_WORDS)}
    for term in query_terms(context) if context else ():
        weights.setdefault(term, 0.3)
    hits, idf = rank(documents, weights)
    return _best_sentences(documents, hits, {term: idf[term] * weight for term, weight in weights.items()})


def rank(documents: Sequence[Asked], weights: dict[str, float]) -> tuple[list[ChunkHit], dict[str, float]]:
    """The best chunks, best first, and each term's IDF, with statistics of exactly these documents."""
    total = sum(document.index.chunk_count() for document in documents)
    scores: dict[tuple[int, int], float] = {}
    idf: dict[str, float] = {}
    for term, weight in weights.items():
        found = [document.index.term_weights(term) for document in documents]
        frequency = sum(map(len, found))
        idf[term] = math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
        for number, chunks in enumerate(found):
            for chunk, part in chunks.items():
                scores[number, chunk] = scores.get((number, chunk), 0.0) + weight * idf[term] * part
    best = heapq.nsmallest(TOP_CHUNKS, scores.items(), key=lambda item: (-item[1], item[0]))
    return [ChunkHit(number, chunk, score) for (number, chunk), score in best], idf


def _best_sentences(documents: Sequence[Asked], hits: list[ChunkHit], value: dict[str, float]) -> list[SentenceHit]:
    asked = sum(value.values()) or 1.0
    candidates: dict[tuple[int, int], tuple[Passage, float]] = {}
    for hit in hits:
        for passage in documents[hit.document].index.chunk_passages(hit.chunk):
            candidates.setdefault((hit.document, passage.number), (passage, hit.score))
    matched = dict(zip(candidates, which_match([p.text for p, _ in candidates.values()], list(value)), strict=True))
    top = hits[0].score if hits else 1.0
    sentences = []
    for key, (passage, chunk_score) in candidates.items():
        coverage = sum(value[term] for term in matched[key]) / asked
        # A long sentence holds more words of any question; a heading names its subject and tells nothing about it.
        length = min(1.0, count_tokens(passage.text) / 60)
        score = 0.6 * coverage + 0.4 * chunk_score / top - 0.05 * length - (0.3 if passage.heading else 0.0)
        sentences.append(SentenceHit(key[0], passage, score, coverage))
    sentences.sort(key=lambda s: (-s.score, s.document, s.passage.number))
    return sentences
