"""The words that stand in many chunks of one document, each with its whole posting list, ready to be added up.

A keyword index reads such a word row by row, and a question has several of them: over 100,000 chunks 20 to 50 ms of
processor time. Kept as two arrays, a list of 50,000 chunks is read in a fraction of one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from miva.engine.stores.base import Posting
from miva.engine.stores.lexemes import PLACES

COMMON = 500
"""Chunks of a document that a common word stands in, at least; fewer are read in less than a millisecond."""
K1, B = 1.2, 0.75
"""BM25's, as FTS5 has them (sqlite.org/fts5.html, 5.1.1)."""
_BATCH = 50_000
_CHUNK, _PART = np.dtype("<i4"), np.dtype("<f4")
_VOCABULARY = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, words, row)"


def common_words(db: sqlite3.Connection) -> Iterator[tuple[str, Posting]]:
    """The common words of the FTS5 table `words` as it has them (stemmed), each with its posting."""
    sizes = _sizes(db)
    if len(sizes) < COMMON:
        return
    db.execute(_VOCABULARY)
    db.execute(PLACES)
    room = K1 * (1 - B + B * sizes / sizes.mean())
    for (word,) in db.execute("SELECT term FROM temp.vocabulary WHERE doc >= ?", (COMMON,)).fetchall():
        rows = db.execute("SELECT doc, count(*) FROM temp.places WHERE term = ? GROUP BY doc", (word,))
        table = _rows(rows)
        chunks, counts = table[:, 0].astype(_CHUNK), table[:, 1]
        yield word, (chunks, (counts * (K1 + 1) / (counts + room[chunks])).astype(_PART))


def packed(posting: Posting) -> tuple[bytes, bytes]:
    """A posting as it is kept: little-endian, four bytes a number."""
    chunks, parts = posting
    return chunks.astype(_CHUNK, copy=False).tobytes(), parts.astype(_PART, copy=False).tobytes()


def unpacked(chunks: bytes, parts: bytes) -> Posting:
    """The inverse of `packed`."""
    return np.frombuffer(chunks, _CHUNK), np.frombuffer(parts, _PART)


def _rows(rows: Iterator[tuple[int, int]]) -> NDArray[np.int64]:
    batches = []
    while batch := list(islice(rows, _BATCH)):
        batches.append(np.array(batch, np.int64))
    return np.concatenate(batches)


def _sizes(db: sqlite3.Connection) -> NDArray[np.float64]:
    """How many words each chunk has, which FTS5 keeps as a varint (sqlite.org/fts5.html, "%_docsize")."""
    return np.array([_varint(size) for (size,) in db.execute("SELECT sz FROM words_docsize ORDER BY id")], np.float64)


def _varint(code: Sequence[int]) -> int:
    value = 0
    for byte in code[:8]:
        value = value << 7 | byte & 0x7F
    return value
