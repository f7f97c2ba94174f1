"""Documents and vectors for the stores' tests."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import numpy as np

from miva.engine.stores.base import Postings
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.vectors import DIMENSION, Vectors

ODD_IDS = [
    "../../outside",
    "/etc/passwd",
    "a/b",
    "..",
    "",
    "x.tmp",
    "names.sqlite3",
    "'; DROP TABLE x --",
    "\0",
    "中" * 256,
]

PAGES = [
    "1 Contracts\n\nThe tenant's co-\noperation is required. Running costs are run up by runners who ran.\n\n"
    "Die Straße nach Überlingen führt über naïve Cafés – “quoted” words, foo_bar and foo bar; e-mail: a@b.example.",
    "中国的首都是北京。北京有很多人。東京は日本の首都です。한국어 문장도 있습니다.\n\nภาษาไทยเขียนติดกัน",
    "",
    "• • •\n\n–––",
    "שָׁלוֹם עולם. السَّلَامُ عَلَيْكُمْ. हिन्दी में लिखा है। ﷺ ﬁne ﬂow Ｆｕｌｌ Ⅻ ½",
    "word " * 700 + "x" * 5000 + " " + "é" * 3000,
]


def draft(pages: Sequence[str] = PAGES) -> SqliteIndex:
    """A document of these pages, counted from 1."""
    made = SqliteIndex.in_memory()
    made.add_pages(list(enumerate(pages, 1)))
    return made


def plain(postings: Postings) -> dict[str, dict[int, float]]:
    """The same without arrays: for each term the chunks that have it, and each one's part."""
    return {term: dict(zip(chunks.tolist(), parts.tolist(), strict=True)) for term, (chunks, parts) in postings.items()}


def new_id() -> str:
    """An id that no other test has used."""
    return uuid4().hex


def unit(rows: np.ndarray) -> Vectors:
    """The rows at length one."""
    scaled: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def vectors(count: int, seed: int = 1) -> Vectors:
    """Random rows of unit length, in clusters, as those of a document are."""
    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((max(1, count // 100), DIMENSION)))
    return unit(centres[random.integers(0, len(centres), count)] + 0.04 * random.standard_normal((count, DIMENSION)))


def question_near(row: Vectors, seed: int = 2) -> Vectors:
    """A question's one row, not far from `row`."""
    return unit(row[None] + 0.02 * np.random.default_rng(seed).standard_normal((1, DIMENSION)))
