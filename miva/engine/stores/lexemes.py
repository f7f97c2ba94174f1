"""A text's words as SQLite's FTS5 makes them, written as PostgreSQL's full text takes them.

FTS5 itself cuts and stems here too, in a table in memory, so both databases hold the same words and rank alike.
PostgreSQL's own dictionaries have no say: they differ with the server's version, settings and locale.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from miva.engine.text import DENSE

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""How FTS5 cuts and stems words; PostgreSQL is given them as it does."""
PLACES = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab(main, words, instance)"
"""Makes each word of a draft's FTS5 table `words` readable with its chunk and its place in it."""
# What a tsvector can hold (postgresql.org/docs, "Text Search Limitations"): positions up to 16,383, fewer than 256 of
# them for a lexeme, and lexemes under 2 KB. No chunk of natural text comes near; beyond, a word counts 255 times.
MOST_PLACES = 255
_LAST_PLACE = 16_383
_LONGEST = 1000
_DENSE = re.compile(f"[{DENSE}]")
_QUOTED = str.maketrans({"'": "''", "\\": "\\\\"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a term of a question looks for: these words in a row; none where the term has no letter or digit."""

    lexemes: tuple[str, ...]

    @property
    def query(self) -> str:
        """The same as a tsquery."""
        return " <-> ".join(map(_quoted, self.lexemes))

    @property
    def word(self) -> str | None:
        """The one whole word that it looks for; None where it is several, or a word's beginning."""
        return self.lexemes[0] if len(self.lexemes) == 1 and not self.lexemes[0].endswith("*") else None


def tsvectors(db: sqlite3.Connection, chunks: int) -> list[tuple[str, int]]:
    """For each chunk of a draft its tsvector, and how many words it has, out of its FTS5 table `words`."""
    found: list[list[str]] = [[] for _ in range(chunks)]
    heads: list[dict[str, list[int]]] = [{} for _ in range(chunks)]
    sizes = [0] * chunks
    db.execute(PLACES)
    last, quoted, is_dense = None, "", False
    for word, chunk, count, furthest, places in db.execute(
        "SELECT term, doc, count(*), max(offset) + 1, group_concat(offset + 1) FROM temp.places GROUP BY term, doc"
    ):
        if word != last:
            last, quoted, is_dense = word, _quoted(_short(word)), bool(_DENSE.match(word))
        sizes[chunk] += count
        if count > MOST_PLACES or furthest > _LAST_PLACE:
            places = _fitting(places)
        found[chunk].append(f"{quoted}:{places}")
        if is_dense:
            heads[chunk].setdefault(_head(word), []).extend(map(int, places.split(",")))
    for of_chunk, dense in zip(found, heads, strict=True):
        of_chunk += [f"{_quoted(head)}:{_fitting(','.join(map(str, all_)))}" for head, all_ in dense.items()]
    return [(" ".join(of_chunk), size) for of_chunk, size in zip(found, sizes, strict=True)]


@lru_cache(maxsize=16)  # a question is put to one document after the other
def wanted(terms: tuple[str, ...]) -> tuple[Wanted, ...]:
    """What each term looks for; as with `text.match_expression`, one letter of a dense script is a word's beginning."""
    found = []
    for term, places in zip(terms, _places(terms), strict=True):
        words = [word for _, word in sorted((place, word) for word, all_ in places.items() for place in all_)]
        if len(term) == 1 and _DENSE.match(term):
            words = [_head(word) for word in words]
        found.append(Wanted(tuple(map(_short, words))))
    return tuple(found)


def _places(texts: Sequence[str]) -> list[dict[str, list[int]]]:
    """For each text its words and where they stand, counted from 0."""
    found: list[dict[str, list[int]]] = [{} for _ in texts]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='{TOKENIZER}')")
        db.execute("CREATE VIRTUAL TABLE places USING fts5vocab(words, instance)")
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(texts))
        for text, word, place in db.execute("SELECT doc, term, offset FROM places"):
            found[text].setdefault(word, []).append(place)
    return found


def _fitting(places: str) -> str:
    """Those of a word's places that a tsvector can hold."""
    fitting = [place for place in places.split(",") if int(place) <= _LAST_PLACE]
    return ",".join(fitting[:MOST_PLACES]) or str(_LAST_PLACE)


def _head(word: str) -> str:
    # A lexeme of its own, because what the prefix matches could not be counted. No word of FTS5's has a star.
    return f"{word[0]}*"


def _short(word: str) -> str:
    code = word.encode()
    return word if len(code) <= _LONGEST else f"#{hashlib.sha256(code).hexdigest()}"


def _quoted(lexeme: str) -> str:
    return f"'{lexeme.translate(_QUOTED)}'"
