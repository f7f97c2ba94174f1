"""One document's rows in PostgreSQL, and the keyword index over the rows of several.

Full text (a tsvector for each chunk, a GIN index) only finds the chunks. What BM25 counts is counted over the asked
documents alone, as FTS5 does it, so a ranking is the same as with SQLite, and no other document shifts it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from miva.engine.stores.base import Bookmark, Index, Passage, Postings, posting
from miva.engine.stores.common_words import COMMON, K1, B, unpacked
from miva.engine.stores.lexemes import MOST_PLACES, Wanted, wanted
from miva.engine.stores.postgres_connections import PostgresDatabase, Row

_TOGETHER = 8
"""So many terms are looked for in one pass over the rows that have any of them."""
# "OFFSET 0" lets a rank be reckoned once for a row, and not again wherever it is named.
_ONE_WORD_EACH = """
SELECT n, document, chunks, sizes, ranks FROM (
    SELECT document, {aggregates} FROM (
        SELECT document, chunk, tokens, {ranks} FROM miva_engine.words
        WHERE document = ANY(%s) AND words @@ %s::tsquery OFFSET 0
    ) AS row_by_row GROUP BY document
) AS of_document CROSS JOIN LATERAL (VALUES {values}) AS term (n, chunks, sizes, ranks) WHERE chunks IS NOT NULL
"""
_AGGREGATE = (
    "array_agg(chunk) FILTER (WHERE r{0} > 0) AS c{0}, array_agg(tokens) FILTER (WHERE r{0} > 0) AS t{0},"
    " array_agg(r{0}) FILTER (WHERE r{0} > 0) AS a{0}"
)
_IN_A_ROW = """
SELECT document, chunk, tokens, array_agg(lexeme), array_agg(array_to_string(positions, ' '))
FROM miva_engine.words, unnest(words)
WHERE document = ANY(%s) AND words @@ %s::tsquery AND lexeme = ANY(%s) GROUP BY document, chunk, tokens
"""
# How often a lexeme stands in a tsvector is told by no function, but `ts_rank` grows with it, and with nothing else
# where the query is one lexeme and every position weighs the same. The server itself says which rank means how often.
_RANKS = """
SELECT n, ts_rank('{1,1,1,1}', ('a:' || string_agg(place::text, ','))::tsvector, 'a'::tsquery)
FROM generate_series(1, %s) n, generate_series(1, n) place GROUP BY n
"""
_PASSAGES = """
SELECT s.sentence, s.page, s.start, substr(c.text, s.start - c.start + 1, s.stop - s.start), s.heading
FROM miva_engine.sentences s JOIN miva_engine.chunks c ON c.document = s.document AND c.chunk = s.chunk
WHERE s.document = %s AND {which} ORDER BY s.sentence LIMIT %s
"""
# Chunk by chunk, whatever the planner believes about the tables: joined, all sentences of a document would be read.
_OF_CHUNKS = """
SELECT w.place, s.sentence, s.page, s.start, substr(c.text, s.start - c.start + 1, s.stop - s.start), s.heading
FROM unnest(%s::bigint[], %s::integer[]) WITH ORDINALITY AS w (document, chunk, place)
CROSS JOIN LATERAL (
    SELECT first, last, start, text FROM miva_engine.chunks
    WHERE document = w.document AND chunk = w.chunk OFFSET 0) AS c
CROSS JOIN LATERAL (
    SELECT sentence, page, start, stop, heading FROM miva_engine.sentences
    WHERE document = w.document AND sentence BETWEEN c.first AND c.last OFFSET 0) AS s
ORDER BY w.place, s.sentence
"""
_OF_PAGE = _PASSAGES.format(which="s.page = %s")
_HEADINGS = _PASSAGES.format(which="s.heading")


class KeywordRows:
    """The database, and how it counts words."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database

    @cached_property
    def counts(self) -> dict[float, int]:
        """How often a lexeme stands in a chunk, by its rank."""
        return {rank: count for count, rank in self.database.query(_RANKS, (MOST_PLACES,))}


@dataclass(frozen=True, slots=True)
class PostgresIndex(Index):
    """The index of one finished document: its number, and what never changes about it."""

    rows: KeywordRows
    number: int
    pages: int
    chunks: int
    tokens: int

    def close(self) -> None:
        """It holds nothing: the connections are the library's."""

    def chunk_count(self) -> int:
        return self.chunks

    def page_count(self) -> int:
        return self.pages

    def page_numbers(self) -> list[int]:
        return [
            page
            for (page,) in self._query(
                "SELECT DISTINCT page FROM miva_engine.sentences WHERE document = %s ORDER BY page", self.number
            )
        ]

    def page_text(self, page: int) -> str:
        found = self._query("SELECT text FROM miva_engine.pages WHERE document = %s AND page = %s", self.number, page)
        return str(found[0][0]) if found else ""

    def postings(self, terms: Sequence[str]) -> Postings:
        return self.postings_of([self], terms)[0][1]

    @classmethod
    def postings_of(cls, indices: Sequence[Self], terms: Sequence[str]) -> list[tuple[int, Postings]]:
        if not indices:
            return []
        looked_for = dict(zip(terms, wanted(tuple(terms)), strict=True))
        large = [index for index in indices if index.chunks >= COMMON]
        found = _common(large, looked_for)
        for index in large:
            _look_up([index], {term: words for term, words in looked_for.items() if term not in found[index]}, found)
        _look_up([index for index in indices if index.chunks < COMMON], looked_for, found)
        return [(index.chunks, {term: found[index][term] for term in terms}) for index in indices]

    def chunk_passages(self, chunk: int) -> list[Passage]:
        return self.passages_of([(self, chunk)])[0]

    @classmethod
    def passages_of(cls, places: Sequence[tuple[Self, int]]) -> list[list[Passage]]:
        found: list[list[Passage]] = [[] for _ in places]
        if places:
            parameters = ([index.number for index, _ in places], [int(chunk) for _, chunk in places])
            for place, *row in places[0][0].rows.database.query(_OF_CHUNKS, parameters):
                found[place - 1].append(Passage(*row))
        return found

    def page_passages(self, page: int, limit: int) -> list[Passage]:
        return self._passages(_OF_PAGE, self.number, page, limit)

    def headings(self, limit: int) -> list[Passage]:
        return self._passages(_HEADINGS, self.number, limit)

    def outline(self) -> list[Bookmark]:
        found = self._query("SELECT outline FROM miva_engine.documents WHERE number = %s", self.number)
        return [Bookmark(*one) for one in json.loads(found[0][0])] if found else []

    def chunk_texts(self, first: int, limit: int) -> list[str]:
        rows = self._query(
            "SELECT text FROM miva_engine.chunks WHERE document = %s AND chunk >= %s ORDER BY chunk LIMIT %s",
            self.number,
            first,
            limit,
        )
        return [text for (text,) in rows]

    def page_chunks(self) -> list[tuple[int, int]]:
        return [
            (page, chunk)
            for page, chunk in self._query(
                "SELECT page, min(chunk) FROM miva_engine.chunks WHERE document = %s GROUP BY page ORDER BY page",
                self.number,
            )
        ]

    def _passages(self, sql: str, *parameters: object) -> list[Passage]:
        return [Passage(*row) for row in self._query(sql, *parameters)]

    def _query(self, sql: str, *parameters: object) -> list[Row]:
        return self.rows.database.query(sql, parameters)


def _common(indices: Sequence[PostgresIndex], looked_for: dict[str, Wanted]) -> defaultdict[PostgresIndex, Postings]:
    """Of each document the terms that are common words in it, which full text would read row by row."""
    found: defaultdict[PostgresIndex, Postings] = defaultdict(dict)
    by_number = {index.number: index for index in indices}
    words = {term: words.word for term, words in looked_for.items() if words.word is not None}
    if not indices or not words:
        return found
    kept = indices[0].rows.database.query(
        "SELECT document, word, chunks, parts FROM miva_engine.common WHERE document = ANY(%s) AND word = ANY(%s)",
        (list(by_number), list(words.values())),
        is_binary=True,
    )
    of_word = {(document, word): unpacked(chunks, parts) for document, word, chunks, parts in kept}
    for number, index in by_number.items():
        found[index] = {term: of_word[number, word] for term, word in words.items() if (number, word) in of_word}
    return found


def _look_up(
    indices: Sequence[PostgresIndex], looked_for: dict[str, Wanted], found: defaultdict[PostgresIndex, Postings]
) -> None:
    """Adds the postings of these terms, by full text, to those of each document."""
    if not indices:
        return
    by_number = {index.number: index for index in indices}
    pairs: defaultdict[tuple[PostgresIndex, str], list[tuple[int, float]]] = defaultdict(list)
    for term, document, chunk, tokens, count in _occurrences(indices[0].rows, list(by_number), looked_for):
        index = by_number[document]
        room = K1 * (1 - B + B * tokens * index.chunks / index.tokens)
        pairs[index, term].append((chunk, count * (K1 + 1) / (count + room)))
    for index in indices:
        found[index] |= {term: posting(pairs[index, term]) for term in looked_for}


def _occurrences(
    rows: KeywordRows, documents: list[int], looked_for: dict[str, Wanted]
) -> Iterable[tuple[str, int, int, int, int]]:
    """Term, document, chunk, the chunk's words, and how often the term stands among them."""
    alone = {term: words.query for term, words in looked_for.items() if len(words.lexemes) == 1}
    if alone:
        terms = list(alone)
        parts = [
            _part(range(first, min(first + _TOGETHER, len(terms))), list(alone.values()), documents)
            for first in range(0, len(terms), _TOGETHER)
        ]
        sql = " UNION ALL ".join(part for part, _ in parts)
        parameters = [parameter for _, own in parts for parameter in own]
        for number, document, chunks, tokens, ranks in rows.database.query(sql, parameters):
            for chunk, size, rank in zip(chunks, tokens, ranks, strict=True):
                yield terms[number], document, chunk, size, rows.counts[rank]
    for term, words in looked_for.items():
        if len(words.lexemes) > 1:
            asked = (documents, words.query, list(words.lexemes))
            for document, chunk, tokens, lexemes, places in rows.database.query(_IN_A_ROW, asked):
                stand = {lexeme: set(map(int, at.split())) for lexeme, at in zip(lexemes, places, strict=True)}
                yield term, document, chunk, tokens, _in_a_row(words.lexemes, stand)


def _part(numbers: range, queries: list[str], documents: list[int]) -> tuple[str, list[object]]:
    """The statement for some of the terms, and its parameters."""
    sql = _ONE_WORD_EACH.format(
        aggregates=", ".join(_AGGREGATE.format(n) for n in numbers),
        ranks=", ".join(f"ts_rank('{{1,1,1,1}}', words, %s::tsquery) AS r{n}" for n in numbers),
        values=", ".join(f"({n}, c{n}, t{n}, a{n})" for n in numbers),
    )
    own = [queries[n] for n in numbers]
    return sql, [*own, documents, " | ".join(own)]


def _in_a_row(lexemes: tuple[str, ...], places: dict[str, set[int]]) -> int:
    return sum(
        all(place + further in places[lexeme] for further, lexeme in enumerate(lexemes)) for place in places[lexemes[0]]
    )
