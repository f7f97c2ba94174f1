"""What holds chunks and finds them again, filled directly and without the product around it: 100,000 chunks at once.

`STORES` is the place where a store takes part: a name, and a context manager that gives an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import psycopg

from benchmarks.bench import Bench
from benchmarks.evaluation.minilm import Vectors
from miva.engine.asked import Asked
from miva.engine.chunk_ranking import best_chunks
from miva.engine.stores.base import Library, VectorStore
from miva.engine.stores.choose import open_stores
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.text import query_terms
from tests.postgres_server import PostgresServer

_DOCUMENT = "0" * 64
_BATCH = 1024
"""Vectors given to a store at once."""


class Store(Protocol):
    """An empty store under measurement; `servers` are the processes (their roots) that it leans on."""

    @property
    def servers(self) -> Sequence[int]: ...

    def fill(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Keeps these chunks of one document, chunk i on page i + 1, each with its unit vector of 384 numbers."""

    def search(self, question: str, vector: Vectors) -> Sequence[int]:
        """The pages of what a question finds, best first, as the engine would find them; `vector` is the question's."""


Opener = Callable[[Bench], AbstractContextManager[Store]]


@dataclass
class _Filled:
    """A library and a vector store with one document in them."""

    library: Library
    vectors: VectorStore
    servers: Sequence[int] = ()

    def fill(self, texts: Sequence[str], vectors: Vectors) -> None:
        draft = SqliteIndex.in_memory()
        draft.add_pages(list(enumerate(texts, 1)))
        self.library.save(_DOCUMENT, draft)
        draft.close()
        for first in range(0, len(vectors), _BATCH):
            self.vectors.add(_DOCUMENT, first, vectors[first : first + _BATCH])

    def search(self, question: str, vector: Vectors) -> Sequence[int]:
        index = self.library.open(_DOCUMENT)
        assert index is not None
        try:
            asked = Asked(_DOCUMENT, "document.pdf", index, self.vectors)
            chunks, _ = best_chunks([asked], dict.fromkeys(query_terms(question), 1.0), vector.reshape(1, -1))
            return [passages[0].page for _, _, passages in chunks]
        finally:
            index.close()


@dataclass
class _FilledServer(_Filled):
    """The same in a server, which tidies up by itself behind what was written."""

    database: str = ""

    def fill(self, texts: Sequence[str], vectors: Vectors) -> None:
        super().fill(texts, vectors)
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # within a minute it would; then searches would pay for it


def _in_files(name: str) -> Opener:
    @contextmanager
    def opened(bench: Bench) -> Iterator[Store]:
        del bench
        with TemporaryDirectory() as folder:
            yield _Filled(*open_stores(name, Path(folder), ""))

    return opened


@contextmanager
def _in_postgres(bench: Bench) -> Iterator[Store]:
    del bench
    with PostgresServer() as server, TemporaryDirectory() as folder:
        assert server.process is not None
        database = server.new_database()
        library, vectors = open_stores("pgvector", Path(folder), database)
        try:
            yield _FilledServer(library, vectors, (server.process.pid,), database)
        finally:
            library.close()
            vectors.close()


STORES: Mapping[str, Opener] = {
    "files": _in_files("files"),
    "FAISS files": _in_files("faiss"),
    "PostgreSQL": _in_postgres,
}
