"""What the asked documents say about a question: the chunks that speak about it, then their best sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from miva.engine import figures, listing
from miva.engine.asked import Asked
from miva.engine.chunk_ranking import Place, best_chunks
from miva.engine.definitions import definition_of, topic
from miva.engine.sentence_ranking import Embed, SentenceHit, best_sentences
from miva.engine.spelling import respelled
from miva.engine.stores.base import Passage
from miva.engine.text import STOP_WORDS, fold, is_english, is_latin, one_line, query_terms

_CONTEXT_WEIGHT = 0.3
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Found:
    """The sentences, best first, and the chunks they stand in, best first, each with its sentences; `for_list`: a list
    may be what is asked for."""

    sentences: list[SentenceHit]
    chunks: list[tuple[Place, list[Passage]]]
    for_list: bool = False

    @property
    def relevance(self) -> float:
        """Of the sentence that has most of it; 0 where there is none."""
        return max((hit.relevance for hit in self.sentences), default=0.0)

    @property
    def is_telling(self) -> bool:
        """Whether something here speaks about the question."""
        return self.relevance >= 0.5


def as_embedded(question: str, context: str = "") -> str:
    """The text whose meaning stands for a question behind an earlier one."""
    return f"{one_line(context)} {one_line(question)}".strip()


def find(question: str, documents: Sequence[Asked], embed: Embed, context: str = "") -> Found:
    """What speaks about the question; the terms of `context`, an earlier question, count less.

    Only a question in Latin letters is looked for by meaning, and only among passages in such letters.
    """
    weights = {term: 1.0 for term in query_terms(topic(question)) if not (context and term in STOP_WORDS)}
    for term in query_terms(topic(context)) if context else ():
        weights.setdefault(term, _CONTEXT_WEIGHT)
    vector = embed([as_embedded(question, context)]) if is_latin(question) else None
    definition = definition_of(question)
    chunks, rarity = best_chunks(documents, weights, vector, definition)
    unknown = [term for term in weights if rarity[term].is_unknown]
    texts = (passage.text for _, _, passages in chunks for passage in passages)
    if meant := respelled(unknown, texts):
        weights = {meant.get(term, term): weight for term, weight in weights.items()}
        if vector is not None:  # the model knows a misspelt word as little as the index does
            question = _WORD.sub(lambda word: meant.get(fold(word[0]).lower(), word[0]), question)
            vector = embed([as_embedded(question, context)])
        chunks, rarity = best_chunks(documents, weights, vector, definition)
    value = {term: rarity[term].idf * weight for term, weight in weights.items()}
    for_figure = figures.asks_for_one(question)
    for_list = listing.asks_for_one(question)
    sentences = best_sentences(
        chunks,
        value,
        vector,
        embed,
        definition,
        for_figure=for_figure,
        for_list=for_list,
        # Any two sentences of another language seem near to the model.
        by_meaning_alone=is_english(question),
    )
    return Found(sentences, [(place, passages) for place, _, passages in chunks], for_list)
