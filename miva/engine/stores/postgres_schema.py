"""The engine's tables in PostgreSQL, in the schema `miva_engine`: made at start, whoever of several machines is first.

What they hold is made from documents that the relay keeps, so tables of an older version are thrown away and filled
anew as the relay sends the documents again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from miva.engine.stores.base import StoreError
from miva.engine.stores.postgres_connections import SEARCH_PATH, WRITE_S, Connection, PostgresDatabase
from miva.engine.vectors import DIMENSION

OLDEST_PGVECTOR = (0, 8)
"""The first that goes on searching its index where a filter has left too little."""


@dataclass(frozen=True, slots=True)
class Part:
    """Tables that are made and thrown away together; `version` counts up when anything in them changes its meaning."""

    name: str
    version: int
    tables: tuple[str, ...]
    sql: str


LIBRARY = Part(
    "library",
    8,
    ("documents", "names", "pages", "sentences", "chunks", "words", "common"),
    """
    CREATE TABLE miva_engine.documents (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id bytea NOT NULL UNIQUE, pages integer NOT NULL, chunks integer NOT NULL, tokens bigint NOT NULL,
        outline text NOT NULL);
    CREATE TABLE miva_engine.names (
        document bytea, owner bytea, name bytea NOT NULL, PRIMARY KEY (document, owner));
    CREATE TABLE miva_engine.pages (
        document bigint, page bigint, text text NOT NULL, PRIMARY KEY (document, page));
    CREATE TABLE miva_engine.sentences (
        document bigint, sentence integer, page bigint NOT NULL, start integer NOT NULL, stop integer NOT NULL,
        heading boolean NOT NULL, chunk integer NOT NULL, PRIMARY KEY (document, sentence));
    CREATE INDEX sentences_page ON miva_engine.sentences (document, page);
    CREATE INDEX sentences_heading ON miva_engine.sentences (document, sentence) WHERE heading;
    CREATE TABLE miva_engine.chunks (
        document bigint, chunk integer, page bigint NOT NULL, first integer NOT NULL, last integer NOT NULL,
        start integer NOT NULL, text text NOT NULL, PRIMARY KEY (document, chunk));
    CREATE TABLE miva_engine.words (
        document bigint, chunk integer, tokens integer NOT NULL, words tsvector NOT NULL,
        PRIMARY KEY (document, chunk)) WITH (toast_tuple_target = 4080);
    CREATE INDEX words_gin ON miva_engine.words USING gin (words) WITH (fastupdate = on);
    CREATE TABLE miva_engine.common (
        document bigint, word text, chunks bytea NOT NULL, parts bytea NOT NULL, PRIMARY KEY (document, word));
    ALTER TABLE miva_engine.common ALTER chunks SET STORAGE EXTERNAL, ALTER parts SET STORAGE EXTERNAL;
    """,
)
# Ids and names are bytes (UTF-8), because PostgreSQL's text cannot hold every character that they may.

VECTORS = Part(
    "vectors",
    2,
    ("embedded", "vectors"),
    f"""
    CREATE TABLE miva_engine.embedded (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id bytea NOT NULL, model text NOT NULL, chunks integer NOT NULL, UNIQUE (id, model));
    CREATE TABLE miva_engine.vectors (
        document bigint, chunk integer, vector halfvec({DIMENSION}) NOT NULL, PRIMARY KEY (document, chunk));
    CREATE INDEX vectors_hnsw ON miva_engine.vectors USING hnsw (vector halfvec_cosine_ops);
    """,
)


def prepare(database: PostgresDatabase, part: Part) -> None:
    """Make the tables of a part where they are not there in this version. Raises `StoreError`."""
    try:
        database.run(lambda connection: _prepare(connection, part), WRITE_S)
    except StoreError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise StoreError(
                "The user of DATABASE_URL may not make the engine's tables in PostgreSQL. Let an administrator run in "
                "that database: CREATE SCHEMA miva_engine; ALTER SCHEMA miva_engine OWNER TO that user."
            ) from error
        raise


def _prepare(connection: Connection, part: Part) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('miva_engine'))")
        _check_encoding(connection)
        # "IF NOT EXISTS" would ask for the right to make it even where it is there.
        if not _one(connection, "SELECT to_regnamespace('miva_engine') IS NOT NULL"):
            connection.execute("CREATE SCHEMA miva_engine")
        if part is VECTORS:
            _need_pgvector(connection)
        if not _one(connection, "SELECT to_regclass('miva_engine.parts') IS NOT NULL"):
            connection.execute("CREATE TABLE miva_engine.parts (part text PRIMARY KEY, version integer NOT NULL)")
        found = _one(connection, "SELECT max(version) FROM miva_engine.parts WHERE part = %s", part.name)
        if found == part.version:
            return
        if found is not None and found > part.version:
            raise StoreError(
                f"The engine's tables in PostgreSQL ({part.name}) are of version {found}, and this program knows only "
                f"{part.version}. Update it on this machine as well."
            )
        for table in part.tables:
            connection.execute(f"DROP TABLE IF EXISTS miva_engine.{table}")
        connection.execute(part.sql)
        connection.execute(
            "INSERT INTO miva_engine.parts VALUES (%s, %s) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            (part.name, part.version),
        )


def _check_encoding(connection: Connection) -> None:
    encoding = _one(connection, "SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StoreError(
            f"The PostgreSQL database's encoding is {encoding}, which cannot hold every document. "
            "Make a database WITH ENCODING 'UTF8' and name it in DATABASE_URL."
        )


def _need_pgvector(connection: Connection) -> None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.errors.InsufficientPrivilege:
        raise StoreError(
            "The PostgreSQL database has no pgvector, and the user of DATABASE_URL may not add it. "
            "Let an administrator run in that database: CREATE EXTENSION vector."
        ) from None
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        raise StoreError(
            "The PostgreSQL server has no pgvector. Install it there (Debian and Ubuntu: the package "
            "postgresql-<version>-pgvector; others: github.com/pgvector/pgvector), 0.8 or newer."
        ) from None
    connection.execute(SEARCH_PATH)
    version = str(_one(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PGVECTOR:
        raise StoreError(
            f"The PostgreSQL database's pgvector is {version}; 0.8 or newer is needed. Install it on the server, then "
            "let an administrator run in that database: ALTER EXTENSION vector UPDATE."
        )


def _one(connection: Connection, sql: str, *parameters: object) -> Any:
    row = connection.execute(sql, parameters).fetchone()
    return row[0] if row else None
