"""The pipelines that the product is measured beside: cut, index, take the five best chunks, hand on 800 tokens."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from benchmarks.evaluation import chunking
from benchmarks.evaluation.chunking import Chunk
from benchmarks.evaluation.minilm import MiniLM, Vectors

BEST, CANDIDATES, CONTEXT_TOKENS = 5, 50, 800
_STOP_TEXT = """
a about after all also an and any are as at be been before being between both but by can could did do does during
each for from had has have he her his how if in into is it its many me more most much my no not of on or other our
she so some such than that the their them then there these they this those through to under was we were what when
where which while who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_STOP_TEXT.split())

Texts = Mapping[str, Sequence[str]]
"""The pages' texts of each file."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The (file, page) places of the best chunks, each once, best first; the text a model would get; CPU seconds."""

    places: tuple[tuple[str, int], ...]
    context: str
    cpu_s: float


class Pipeline:
    """One way to cut and to rank, over some files. Made by `build`, which says what it cost."""

    def __init__(self, model: MiniLM, chunks: Sequence[Chunk], vectors: Vectors | None, *, words: bool) -> None:
        self._model = model
        self._chunks = chunks
        self._vectors = vectors
        self._words = _Words(chunks) if words else None
        self.index_cpu_s = 0.0

    @property
    def chunk_count(self) -> int:
        return len(self._chunks)

    def of_file(self, file: str) -> Pipeline:
        """The same for one file alone: word statistics are then its own."""
        kept = [at for at, chunk in enumerate(self._chunks) if chunk.file == file]
        vectors = self._vectors[kept] if self._vectors is not None else None
        return Pipeline(self._model, [self._chunks[at] for at in kept], vectors, words=self._words is not None)

    def retrieve(self, question: str) -> Retrieved:
        """The best chunks for a question."""
        began = time.process_time()
        best = [self._chunks[at] for at in self._rank(question)[:BEST]]
        cpu_s = time.process_time() - began
        places = dict.fromkeys((chunk.file, page) for chunk in best for page in chunk.pages)
        joined = "\n\n".join(chunk.text for chunk in best)
        return Retrieved(tuple(places), chunking.first_tokens(joined, self._model.offsets, CONTEXT_TOKENS), cpu_s)

    def _rank(self, question: str) -> list[int]:
        """Half BM25 (of the best), half cosine, over the best of both lists; or the one that there is."""
        words = self._words.scores(question) if self._words is not None else {}
        if self._vectors is None:
            return sorted(words, key=lambda at: -words[at])
        cosines = self._vectors @ self._model.embed([question])[0]
        if self._words is None:
            return [int(at) for at in np.argsort(-cosines)]
        near = [int(at) for at in np.argsort(-cosines)[:CANDIDATES]]
        most = max(words.values(), default=1.0)
        fused = {at: 0.5 * words.get(at, 0.0) / most + 0.5 * float(cosines[at]) for at in {*words, *near}}
        return sorted(fused, key=lambda at: -fused[at])


class _Words:
    """BM25 as SQLite's FTS5 has it, with porter's stems; stop words are taken out of the question."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._db = sqlite3.connect(":memory:")
        self._db.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61')")
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(c.text for c in chunks))

    def scores(self, question: str) -> dict[int, float]:
        asked = re.findall(r"\w+", question.lower())
        kept = [word for word in asked if word not in _STOP_WORDS] or asked
        if not kept:
            return {}
        expression = " OR ".join(f'"{word}"' for word in dict.fromkeys(kept))
        sql = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY 2 DESC LIMIT ?"
        with closing(self._db.execute(sql, (expression, CANDIDATES))) as rows:
            return {row: float(score) for row, score in rows}


Builder = Callable[[MiniLM, Texts], Pipeline]


def build(name: str, model: MiniLM, texts: Texts) -> Pipeline:
    """The pipeline of this name (a key of `PIPELINES`) over these files, with the CPU seconds of its making."""
    began = time.process_time()
    pipeline = PIPELINES[name](model, texts)
    pipeline.index_cpu_s = time.process_time() - began
    return pipeline


def _naive(model: MiniLM, texts: Texts) -> Pipeline:
    chunks = [chunk for file, pages in texts.items() for chunk in chunking.by_tokens(file, pages, model.offsets)]
    return Pipeline(model, chunks, model.embed([chunk.text for chunk in chunks]), words=False)


def _characters(model: MiniLM, texts: Texts) -> Pipeline:
    chunks = [chunk for file, pages in texts.items() for chunk in chunking.by_characters(file, pages)]
    return Pipeline(model, chunks, model.embed([chunk.text for chunk in chunks]), words=False)


def _sentences(model: MiniLM, texts: Texts) -> list[Chunk]:
    return [chunk for file, pages in texts.items() for chunk in chunking.by_sentences(file, pages, model.offsets)]


def _keywords(model: MiniLM, texts: Texts) -> Pipeline:
    return Pipeline(model, _sentences(model, texts), None, words=True)


def _fused(model: MiniLM, texts: Texts) -> Pipeline:
    chunks = _sentences(model, texts)
    return Pipeline(model, chunks, model.embed([chunk.text for chunk in chunks]), words=True)


NAIVE = "naive: fixed 512-token chunks, MiniLM"
KEYWORDS = "sentences to 128 tokens, BM25 alone"
PIPELINES: dict[str, Builder] = {
    NAIVE: _naive,
    "1,000 characters with overlap, MiniLM": _characters,
    KEYWORDS: _keywords,
    "sentences to 128 tokens, BM25 and MiniLM fused": _fused,
}
"""Each by the name that stands in the table; the first is how sibling systems do it."""
