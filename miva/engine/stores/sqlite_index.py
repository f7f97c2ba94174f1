"""One document in a small SQLite database of its own: pages, sentences, chunks and their keyword index.

A database per document, because then forgetting one deletes a file (nothing of it stays in a shared index), word
statistics come from the asked documents only, so another owner's documents neither shift a ranking nor show through
it, and what a question costs does not grow with what others have stored. It is built in memory and reaches the disk
whole: a document that was begun and never ended leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from miva.engine import passages
from miva.engine.stores import trouble
from miva.engine.stores.base import Bookmark, Content, Draft, Passage, Posting, Postings, posting
from miva.engine.stores.common_words import COMMON, common_words, packed, unpacked
from miva.engine.stores.lexemes import TOKENIZER, tsvectors, wanted
from miva.engine.text import match_expression, search_text

# Counts up when anything stored changes its meaning; a file of another version counts as not held.
VERSION = 7
_SCHEMA = f"""
CREATE TABLE pages (page INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE sentences (sentence INTEGER PRIMARY KEY, page INTEGER, start INTEGER, stop INTEGER, heading INTEGER);
CREATE INDEX sentences_page ON sentences (page);
CREATE TABLE chunks (chunk INTEGER PRIMARY KEY, page INTEGER, first INTEGER, last INTEGER);
CREATE TABLE outline (place INTEGER PRIMARY KEY, level INTEGER, title TEXT NOT NULL, page INTEGER);
CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='{TOKENIZER}');
CREATE TABLE common (word TEXT PRIMARY KEY, chunks BLOB NOT NULL, parts BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
_CHUNKS = """
SELECT c.chunk, c.page, c.first, c.last, substr(p.text, f.start + 1, l.stop - f.start) FROM chunks c
JOIN sentences f ON f.sentence = c.first JOIN sentences l ON l.sentence = c.last JOIN pages p ON p.page = c.page
"""


class _Page(NamedTuple):
    """What one page will be in the tables: `words` are the chunks as the keyword index is given them."""

    number: int
    text: str
    sentences: list[passages.Sentence]
    chunks: list[passages.Chunk]
    words: list[str]


class SqliteIndex(Draft):
    """The index of one document in SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._lock = threading.Lock()
        # Of the last two pages that came, for heads and feet may differ on left and right ones.
        self._edges: deque[frozenset[str]] = deque(maxlen=2)

    @classmethod
    def in_memory(cls) -> SqliteIndex:
        """An empty index, to be filled page by page."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_SCHEMA)
        return cls(connection)

    @classmethod
    @trouble.of_files()
    def open(cls, path: Path) -> SqliteIndex | None:
        """The index that `save` wrote to `path`; None where there is none that this version can read.

        Raises `StoreError` where there may well be one that cannot be opened now.
        """
        # A finished file never changes, so SQLite may skip its locks.
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            path.stat()
            connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        except FileNotFoundError:
            return None
        except sqlite3.OperationalError:  # SQLite does not tell why
            if not path.exists():  # it was deleted just now
                return None
            raise
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                return cls(connection)
        except sqlite3.OperationalError:  # the disk's fault, not the file's
            connection.close()
            raise
        except sqlite3.DatabaseError:  # cut short or overwritten: the relay sends the document again
            pass
        connection.close()
        return None

    @trouble.of_files()
    def save(self, path: Path) -> None:
        draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        draft.unlink(missing_ok=True)
        try:
            with self._lock:
                with self._db:
                    rows = ((word, *packed(found)) for word, found in common_words(self._db))
                    self._db.executemany("INSERT OR REPLACE INTO common VALUES (?, ?, ?)", rows)
                self._db.execute("VACUUM INTO ?", (str(draft),))
            with draft.open("rb") as written:
                os.fsync(written.fileno())  # after a power cut there is a whole file or none
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add_pages(self, pages: Sequence[tuple[int, str]]) -> None:
        read = [self._read(page, text.replace("\0", " ")) for page, text in pages]  # substr() would end at a NUL
        with self._lock, self._db:  # one transaction: the end of each costs as much as indexing half a page
            for page in read:
                self._insert(page)

    def _read(self, number: int, text: str) -> _Page:
        found = passages.sentences(text, frozenset().union(*self._edges))
        self._edges.append(passages.edges(text))
        made = passages.chunks(text, found)
        words = [search_text(text[found[chunk.first].start : found[chunk.last].end]) for chunk in made]
        return _Page(number, text, found, made, words)

    def _insert(self, page: _Page) -> None:
        inserted = self._db.execute("INSERT OR IGNORE INTO pages VALUES (?, ?)", (page.number, page.text))
        if not inserted.rowcount:
            return
        base, first = self._count("sentences"), self._count("chunks")
        self._db.executemany(
            "INSERT INTO sentences VALUES (?, ?, ?, ?, ?)",
            [(base + i, page.number, s.start, s.end, s.heading) for i, s in enumerate(page.sentences)],
        )
        self._db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?)",
            [(i, page.number, base + chunk.first, base + chunk.last) for i, chunk in enumerate(page.chunks, first)],
        )
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(page.words, first))

    def set_outline(self, outline: Sequence[Bookmark]) -> None:
        with self._lock, self._db:
            self._db.execute("DELETE FROM outline")
            self._db.executemany("INSERT INTO outline (level, title, page) VALUES (?, ?, ?)", outline)

    def outline(self) -> list[Bookmark]:
        with self._lock:
            return self._outline()

    def _outline(self) -> list[Bookmark]:
        return list(map(Bookmark._make, self._db.execute("SELECT level, title, page FROM outline ORDER BY place")))

    def _count(self, table: str) -> int:
        # Numbers are given out from 0 without holes; count(*) would read the whole table. The name is one of ours.
        return int(self._db.execute(f"SELECT coalesce(max(rowid) + 1, 0) FROM {table}").fetchone()[0])  # noqa: S608

    def chunk_count(self) -> int:
        with self._lock:
            return self._count("chunks")

    def page_count(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM pages").fetchone()[0])

    def postings(self, terms: Sequence[str]) -> Postings:
        with self._lock:
            total = self._count("chunks")
            common = self._common(terms) if total >= COMMON else {}
            return {term: common.get(term) or self._posting(term, total) for term in terms}

    def _common(self, terms: Sequence[str]) -> Postings:
        words = {term: found.word for term, found in zip(terms, wanted(tuple(terms)), strict=True)}
        asked = list(set(words.values()) - {None})
        rows = self._db.execute(
            f"SELECT word, chunks, parts FROM common WHERE word IN ({','.join('?' * len(asked))})",  # noqa: S608
            asked,
        )
        found = {word: unpacked(chunks, parts) for word, chunks, parts in rows}
        return {term: found[word] for term, word in words.items() if word in found}

    def _posting(self, term: str, total: int) -> Posting:
        rows = self._db.execute(
            "SELECT rowid, bm25(words) FROM words WHERE words MATCH ?", (match_expression(term),)
        ).fetchall()
        # FTS5's bm25() is -(idf x the part we want), with this idf, never below 1e-6 (sqlite.org/fts5.html, 5.1.1).
        idf = math.log((total - len(rows) + 0.5) / (len(rows) + 0.5))
        return posting((chunk, -score / (idf if idf > 0 else 1e-6)) for chunk, score in rows)

    def chunk_passages(self, chunk: int) -> list[Passage]:
        return self._passages(
            "s.sentence BETWEEN (SELECT first FROM chunks WHERE chunk = :n) AND"
            " (SELECT last FROM chunks WHERE chunk = :n)",
            chunk,
            -1,
        )

    def page_passages(self, page: int, limit: int) -> list[Passage]:
        return self._passages("s.page = :n", page, limit)

    def headings(self, limit: int) -> list[Passage]:
        return self._passages("s.heading = :n", 1, limit)

    def page_text(self, page: int) -> str:
        with self._lock:
            found = self._db.execute("SELECT text FROM pages WHERE page = ?", (page,)).fetchone()
        return found[0] if found else ""

    def chunk_texts(self, first: int, limit: int) -> list[str]:
        with self._lock:
            rows = self._db.execute(f"{_CHUNKS} WHERE c.chunk >= ? ORDER BY c.chunk LIMIT ?", (first, limit))
            return [text for *_, text in rows]

    def page_chunks(self) -> list[tuple[int, int]]:
        with self._lock:
            return self._db.execute("SELECT page, min(chunk) FROM chunks GROUP BY page ORDER BY page").fetchall()

    def content(self) -> Content:
        with self._lock:
            return Content(
                self._db.execute("SELECT page, text FROM pages ORDER BY page").fetchall(),
                [
                    (number, page, start, stop, bool(heading))
                    for number, page, start, stop, heading in self._db.execute(
                        "SELECT sentence, page, start, stop, heading FROM sentences ORDER BY sentence"
                    )
                ],
                self._db.execute(f"{_CHUNKS} ORDER BY c.chunk").fetchall(),
                self._outline(),
            )

    def common_words(self) -> list[tuple[str, Posting]]:
        with self._lock:
            return list(common_words(self._db))

    def tsvectors(self) -> list[tuple[str, int]]:
        with self._lock:
            return tsvectors(self._db, self._count("chunks"))

    def _passages(self, where: str, number: int, limit: int) -> list[Passage]:
        # `where` is one of the three above; whatever comes from outside is a parameter.
        sql = (
            "SELECT s.sentence, s.page, s.start, substr(p.text, s.start + 1, s.stop - s.start), s.heading"  # noqa: S608
            f" FROM sentences s JOIN pages p ON p.page = s.page WHERE {where} ORDER BY s.sentence LIMIT :limit"
        )
        with self._lock:
            rows = self._db.execute(sql, {"n": number, "limit": limit}).fetchall()
        return [Passage(n, page, start, text, bool(heading)) for n, page, start, text, heading in rows]

    def page_numbers(self) -> list[int]:
        with self._lock:
            rows = self._db.execute("SELECT DISTINCT page FROM sentences ORDER BY page").fetchall()
        return [page for (page,) in rows]


def check_sqlite() -> str | None:
    """A sentence that says what is missing where this Python's SQLite cannot keep the index; None where it can."""
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        return (
            f"This Python's SQLite ({sqlite3.sqlite_version}) has no usable full-text index FTS5 ({error}). "
            "Use a Python whose SQLite is built with FTS5, as those of python.org, Debian and uv are."
        )
    return None


def which_match(texts: list[str], terms: list[str]) -> list[set[str]]:
    """For each text, those of `terms` that the keyword index would find in it."""
    matched: list[set[str]] = [set() for _ in texts]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='{TOKENIZER}')")
        db.executemany(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", [(i, search_text(t)) for i, t in enumerate(texts)]
        )
        for term in terms:
            for (row,) in db.execute("SELECT rowid FROM words WHERE words MATCH ?", (match_expression(term),)):
                matched[row].add(term)
    return matched
