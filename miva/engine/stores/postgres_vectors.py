"""Vectors in PostgreSQL with pgvector: half-precision rows, and one HNSW index over all documents.

An HNSW index knows nothing of documents: it hands out the nearest of all, and the rows of documents that were not
asked are thrown away. So it is used only where the asked documents are large and no small part of the whole; else
their rows are compared one by one, which is exact and takes about 0.8 µs of the server's processor each. Measured at
100,000 rows: 72 ms so, 3 ms by the index, with 99 of 100 of the true nearest found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psycopg

from miva.engine.stores.base import MODEL, NearChunk, VectorStore
from miva.engine.stores.postgres_connections import WRITE_S, Connection, PostgresDatabase, Row
from miva.engine.stores.postgres_schema import VECTORS, prepare
from miva.engine.vectors import DIMENSION, Vectors

EXACT_CHUNKS = 20_000
_FEWEST_CANDIDATES, _MOST_CANDIDATES = 150, 1000
"""How many rows the index looks at; 1000 is the most that pgvector takes. Among 100,000 like those of texts, 150
find 99.8 % of the true nearest fifty, as 200 do; 120 find 97.8 %."""
_ROWS_A_WRITE = 500

# The sum over all is only made where it is asked for.
_EMBEDDED = """
SELECT number, id, chunks, CASE WHEN sum(chunks) OVER () > %s THEN (SELECT sum(chunks) FROM miva_engine.embedded) END
FROM miva_engine.embedded WHERE id = ANY(%s) AND model = %s
"""
_BY_DISTANCE = "SELECT document, chunk, 1 - (vector <=> %s::halfvec) FROM miva_engine.vectors"
# The "+ 0" keeps the planner from its index, which would be wrong about a few documents among many.
_EXACT = f"{_BY_DISTANCE} WHERE document = ANY(%s) ORDER BY (vector <=> %s::halfvec) + 0 LIMIT %s"
# The keys of single rows, each looked up by itself whatever the planner believes about the tables.
_OF_PLACES = """
SELECT w.id, w.chunk, 1 - (v.vector <=> %s::halfvec) FROM unnest(%s::bytea[], %s::integer[]) AS w (id, chunk)
CROSS JOIN LATERAL (SELECT number FROM miva_engine.embedded WHERE id = w.id AND model = %s OFFSET 0) AS e
CROSS JOIN LATERAL (
    SELECT vector FROM miva_engine.vectors WHERE document = e.number AND chunk = w.chunk OFFSET 0) AS v
"""
# Sent as one message, which the server takes as one transaction: the settings end with it. They say: go on where the
# filter leaves too little, and take no other way than the index.
_BY_INDEX = f"""
SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true);
{_BY_DISTANCE} WHERE document = ANY(%s::bigint[]) ORDER BY vector <=> %s::halfvec LIMIT %s
"""
# COPY's binary format: a row's number of fields, then each field behind its length (postgresql.org/docs, "COPY").
_ROW = np.dtype(
    [
        ("fields", ">i2"), ("document_bytes", ">i4"), ("document", ">i8"), ("chunk_bytes", ">i4"), ("chunk", ">i4"),
        ("vector_bytes", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f2", (DIMENSION,)),
    ]
)  # fmt: skip
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"


class PostgresVectors(VectorStore):
    """The vectors kept in the schema `miva_engine` of a database."""

    def __init__(self, folder: Path, database_url: str) -> None:  # noqa: ARG002 (nothing is kept in files)
        self._database = PostgresDatabase(database_url)
        try:
            prepare(self._database, VECTORS)
        except BaseException:
            self._database.close()
            raise

    def count(self, document: str) -> int:
        return sum(chunks for _, _, chunks, _ in self._embedded([document]))

    def add(self, document: str, first: int, vectors: Vectors) -> None:
        if len(vectors):
            self._database.run(lambda connection: _add(connection, document, first, vectors), WRITE_S)

    def nearest(self, documents: Sequence[str], question: Vectors, most: int) -> list[NearChunk]:
        embedded = self._embedded(documents)
        names = {number: bytes(document).decode() for number, document, *_ in embedded}
        if not names or most < 1:
            return []
        asked = sum(chunks for _, _, chunks, _ in embedded)
        vector = _text(question)
        parameters = (vector, list(names), vector, most)
        rows: list[Row] = []
        if asked > EXACT_CHUNKS and (candidates := _candidates(embedded[0][3], asked, most)) <= _MOST_CANDIDATES:
            rows = self._database.run(lambda connection: _by_index(connection, parameters, candidates))
        if len(rows) < min(most, asked):  # the index gave up too early, or was not asked
            rows = self._database.query(_EXACT, parameters)
        # A row of zeros is at no distance: NaN.
        found = [NearChunk(names[document], chunk, near) for document, chunk, near in rows if not math.isnan(near)]
        return sorted(found, key=lambda near: -near.cosine)

    def cosines(self, document: str, chunks: Sequence[int], question: Vectors) -> dict[int, float]:
        return {chunk: cosine for (_, chunk), cosine in self.cosines_of({document: chunks}, question).items()}

    def cosines_of(self, wanted: Mapping[str, Sequence[int]], question: Vectors) -> dict[tuple[str, int], float]:
        places = [(document.encode(), int(chunk)) for document, chunks in wanted.items() for chunk in chunks]
        ids, numbers = [document for document, _ in places], [chunk for _, chunk in places]
        rows = self._database.query(_OF_PLACES, (_text(question), ids, numbers, MODEL))
        return {(bytes(document).decode(), chunk): cosine for document, chunk, cosine in rows}

    def forget(self, document: str) -> None:
        self._database.run(lambda connection: _forget(connection, document), WRITE_S)

    def close(self) -> None:
        self._database.close()

    def _embedded(self, documents: Sequence[str]) -> list[Row]:
        """The number, id and count of those documents that have vectors of this model; and, where they are so many that
        the index may be asked, how many vectors there are in all."""
        return self._database.query(_EMBEDDED, (EXACT_CHUNKS, [document.encode() for document in documents], MODEL))


def _candidates(held: int, asked: int, most: int) -> int:
    """How many rows the index must look at, so that twice as many as are wanted are of the asked documents."""
    return max(_FEWEST_CANDIDATES, 2 * most * held // asked)


def _by_index(connection: Connection, parameters: tuple[object, ...], candidates: int) -> list[Row]:
    with psycopg.ClientCursor(connection) as cursor:  # the other kind sends one statement at a time
        cursor.execute(_BY_INDEX, (str(candidates), *parameters))
        cursor.nextset()
        return cursor.fetchall()


def _add(connection: Connection, document: str, first: int, vectors: Vectors) -> None:
    with connection.transaction():
        if first == 0:
            connection.execute(
                "INSERT INTO miva_engine.embedded (id, model, chunks) VALUES (%s, %s, 0) ON CONFLICT DO NOTHING",
                (document.encode(), MODEL),
            )
        # Where another machine is adding to the same document, this waits for its end.
        held = connection.execute(
            "SELECT number, chunks FROM miva_engine.embedded WHERE id = %s AND model = %s FOR UPDATE",
            (document.encode(), MODEL),
        ).fetchone()
        if held is None or held[1] != first:
            return
        rows = np.zeros(len(vectors), _ROW)
        for field, value in (("fields", 3), ("document_bytes", 8), ("chunk_bytes", 4), ("dimension", DIMENSION)):
            rows[field] = value
        rows["vector_bytes"] = 4 + 2 * DIMENSION
        rows["document"] = held[0]
        rows["chunk"] = np.arange(first, first + len(vectors))
        rows["vector"] = vectors
        with connection.cursor().copy("COPY miva_engine.vectors FROM STDIN (FORMAT binary)") as copy:
            copy.write(_COPY_HEAD)
            for at in range(0, len(rows), _ROWS_A_WRITE):
                copy.write(rows[at : at + _ROWS_A_WRITE].tobytes())
            copy.write(_COPY_END)
        connection.execute(
            "UPDATE miva_engine.embedded SET chunks = %s WHERE number = %s", (first + len(vectors), held[0])
        )


def _forget(connection: Connection, document: str) -> None:
    with connection.transaction():
        gone = connection.execute(
            "DELETE FROM miva_engine.embedded WHERE id = %s RETURNING number", (document.encode(),)
        ).fetchall()
        connection.execute(
            "DELETE FROM miva_engine.vectors WHERE document = ANY(%s)", ([number for (number,) in gone],)
        )


def _text(question: Vectors) -> str:
    """As a halfvec is written: five digits are more than it keeps."""
    return "[" + ",".join([f"{number:.5g}" for number in question[0].tolist()]) + "]"
