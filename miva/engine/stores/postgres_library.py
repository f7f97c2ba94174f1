"""The library in PostgreSQL: every document's rows in the same few tables, for several machines at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from miva.engine.stores.base import Content, Draft, Index, Library, Posting
from miva.engine.stores.common_words import packed
from miva.engine.stores.postgres_connections import WRITE_S, Connection, PostgresDatabase, Row
from miva.engine.stores.postgres_index import KeywordRows, PostgresIndex
from miva.engine.stores.postgres_schema import LIBRARY, prepare


class PostgresLibrary(Library):
    """The documents kept in the schema `miva_engine` of a database."""

    def __init__(self, database_url: str) -> None:
        """Connect, and make the tables where they are missing. Raises `StoreError`."""
        self._database = PostgresDatabase(database_url)
        self._rows = KeywordRows(self._database)
        try:
            prepare(self._database, LIBRARY)
        except BaseException:
            self._database.close()
            raise

    def open(self, document: str) -> Index | None:
        found = self._database.query(
            "SELECT number, pages, chunks, tokens FROM miva_engine.documents WHERE id = %s", (document.encode(),)
        )
        return PostgresIndex(self._rows, *found[0]) if found else None

    def holds(self, document: str) -> bool:
        return self.open(document) is not None

    def save(self, document: str, draft: Draft) -> None:
        content = draft.content()
        vectors, common = draft.tsvectors(), draft.common_words()
        self._database.run(lambda connection: _save(connection, document, content, vectors, common), WRITE_S)
        # The words of a large document went into the index in one piece; now they are sorted in, or every search would
        # read them one by one.
        self._database.query("SELECT gin_clean_pending_list('miva_engine.words_gin')", patience_s=WRITE_S)

    def forget(self, document: str) -> None:
        self._database.run(lambda connection: _forget(connection, document), WRITE_S)

    def set_name(self, document: str, owner: str, name: str) -> None:
        self._database.run(
            lambda connection: connection.execute(
                "INSERT INTO miva_engine.names VALUES (%s, %s, %s) ON CONFLICT (document, owner)"
                " DO UPDATE SET name = excluded.name WHERE names.name <> excluded.name",
                (document.encode(), owner.encode(), name.encode()),
            )
        )

    def name(self, document: str) -> str:
        names = self._database.query(
            "SELECT DISTINCT name FROM miva_engine.names WHERE document = %s LIMIT 2", (document.encode(),)
        )
        return bytes(names[0][0]).decode() if len(names) == 1 else "the document"

    def documents(self) -> Iterator[str]:
        for (document,) in self._database.query("SELECT id FROM miva_engine.documents ORDER BY number"):
            yield bytes(document).decode()

    def close(self) -> None:
        self._database.close()


def _save(
    connection: Connection,
    document: str,
    content: Content,
    vectors: list[tuple[str, int]],
    common: list[tuple[str, Posting]],
) -> None:
    with connection.transaction():
        # Where another machine is saving the same document, this waits for its end.
        made = connection.execute(
            "INSERT INTO miva_engine.documents (id, pages, chunks, tokens, outline) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (id) DO NOTHING RETURNING number",
            (
                document.encode(),
                len(content.pages),
                len(content.chunks),
                sum(count for _, count in vectors),
                json.dumps(content.outline),
            ),
        ).fetchone()
        if made is None:
            return
        (number,) = made
        starts = {sentence: start for sentence, _, start, _, _ in content.sentences}
        homes = _homes(content)
        _copy(connection, "pages", ((number, *page) for page in content.pages))
        _copy(connection, "sentences", ((number, *sentence, homes[sentence[0]]) for sentence in content.sentences))
        _copy(
            connection,
            "chunks",
            (
                (number, chunk, page, first, last, starts[first], text)
                for chunk, page, first, last, text in content.chunks
            ),
        )
        _copy(
            connection,
            "words",
            ((number, chunk[0], count, words) for chunk, (words, count) in zip(content.chunks, vectors, strict=True)),
        )
        _copy(connection, "common", ((number, word, *packed(posting)) for word, posting in common))


def _homes(content: Content) -> dict[int, int]:
    """For each sentence the last chunk that has it: chunks overlap, and cover every sentence."""
    return {sentence: chunk for chunk, _, first, last, _ in content.chunks for sentence in range(first, last + 1)}


def _copy(connection: Connection, table: str, rows: Iterable[Row]) -> None:
    with connection.cursor().copy(f"COPY miva_engine.{table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _forget(connection: Connection, document: str) -> None:
    with connection.transaction():
        connection.execute("DELETE FROM miva_engine.names WHERE document = %s", (document.encode(),))
        gone = connection.execute(
            "DELETE FROM miva_engine.documents WHERE id = %s RETURNING number", (document.encode(),)
        ).fetchone()
        if gone is not None:
            for table in ("pages", "sentences", "chunks", "words", "common"):
                connection.execute(f"DELETE FROM miva_engine.{table} WHERE document = %s", gone)  # noqa: S608 (ours)
