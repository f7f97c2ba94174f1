"""The same tests over both libraries and all vector stores, with a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from miva.engine.stores.base import Library, VectorStore
from miva.engine.stores.faiss_files import FaissFiles
from miva.engine.stores.matrix_vectors import VectorFiles, VectorsInMemory
from miva.engine.stores.postgres_library import PostgresLibrary
from miva.engine.stores.postgres_vectors import PostgresVectors
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.postgres_server import PostgresServer

OpenLibrary: TypeAlias = Callable[[], Library]
OpenStore: TypeAlias = Callable[[], VectorStore]

KEPT = {"files": VectorFiles, "faiss": FaissFiles, "pgvector": PostgresVectors}
"""The vector stores that outlive their process."""


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """One server for all tests; one that stops it starts it again."""
    with PostgresServer() as running:
        yield running


@pytest.fixture(scope="session")
def database(server: PostgresServer) -> str:
    """One database for all tests that use documents of their own."""
    return server.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def open_library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenLibrary]:
    """Opens the same library again and again, as several engines would."""
    opened: list[Library] = []
    url = request.getfixturevalue("database") if request.param == "postgres" else ""

    def open_it() -> Library:
        opened.append(PostgresLibrary(url) if url else SqliteLibrary(tmp_path / "documents"))
        return opened[-1]

    yield open_it
    for library in opened:
        library.close()


@pytest.fixture
def library(open_library: OpenLibrary) -> Library:
    return open_library()


@pytest.fixture(params=[*KEPT, "memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the same vector store again and again; what is in memory alone is there once."""
    url = request.getfixturevalue("database") if request.param == "pgvector" else ""
    opened: list[VectorStore] = [VectorsInMemory()] if request.param == "memory" else []

    def open_it() -> VectorStore:
        if request.param in KEPT:
            opened.append(KEPT[request.param](tmp_path / "vectors", url))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> VectorStore:
    return open_store()
