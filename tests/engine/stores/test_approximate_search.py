"""Beyond a size the search is approximate, and finds nearly all that an exact one finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from miva.engine.stores import postgres_vectors
from miva.engine.stores.base import VectorStore
from miva.engine.stores.matrix_vectors import EXACT_CHUNKS, VectorsInMemory
from miva.engine.stores.postgres_connections import Connection
from miva.engine.stores.postgres_vectors import PostgresVectors
from miva.engine.vectors import Vectors
from tests.engine.stores.material import question_near, vectors
from tests.postgres_server import PostgresServer

MOST = 50
RECALL = 0.95


def recall(store: VectorStore, documents: dict[str, Vectors]) -> float:
    """The share of the true nearest that the store finds in these documents, over twenty questions."""
    keys = [(name, chunk) for name, rows in documents.items() for chunk in range(len(rows))]
    every = np.concatenate(list(documents.values()))
    found = 0
    for seed in range(20):
        question = question_near(every[seed * len(every) // 20], seed)
        nearest = {keys[i] for i in np.argsort(-(every @ question[0]))[:MOST]}
        near = store.nearest(list(documents), question, MOST)
        assert len(near) == MOST
        found += len(nearest & {(n.document, n.chunk) for n in near})
    return found / 20 / MOST


def test_matrices_beyond_their_size() -> None:
    store, rows = VectorsInMemory(), vectors(EXACT_CHUNKS + 4000)
    documents = {"large": rows[:-3000], "small": rows[-3000:]}
    for name, own in documents.items():
        store.add(name, 0, own)
    assert recall(store, documents) >= RECALL


class Hnsw:
    """A store of one large document and many small ones, where the index is used from 500 chunks on."""

    def __init__(self, url: str) -> None:
        self.store = PostgresVectors(Path(), url)
        rows = vectors(3000)
        self.large = {"large": rows[:1500]}
        self.small = {f"small {i}": rows[1500 + i * 100 : 1600 + i * 100] for i in range(15)}
        for name, own in (self.large | self.small).items():
            self.store.add(name, 0, own)


@pytest.fixture(scope="module")
def hnsw(server: PostgresServer) -> Iterator[Hnsw]:
    made = Hnsw(server.new_database())
    yield made
    made.store.close()


@pytest.fixture
def small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_vectors, "EXACT_CHUNKS", 500)


@pytest.mark.parametrize("asked", ["all", "large", "half of the small ones"])
@pytest.mark.usefixtures("small_enough")
def test_the_index_with_its_filter(hnsw: Hnsw, asked: str) -> None:
    some = {name: hnsw.small[name] for name in list(hnsw.small)[:7]}
    documents = {"all": hnsw.large | hnsw.small, "large": hnsw.large, "half of the small ones": some}[asked]
    assert recall(hnsw.store, documents) >= RECALL


@pytest.mark.usefixtures("small_enough")
def test_it_is_the_index_that_answers(hnsw: Hnsw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_vectors, "_EXACT", "SELECT 'the exact search was asked'::text::integer")
    assert recall(hnsw.store, hnsw.large) >= RECALL


def test_a_few_documents_among_many_are_searched_exactly(hnsw: Hnsw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_vectors, "_BY_INDEX", "SELECT 'the index was asked'::text::integer")
    some = {name: hnsw.small[name] for name in list(hnsw.small)[:2]}
    assert recall(hnsw.store, some) >= 0.99
    monkeypatch.setattr(postgres_vectors, "EXACT_CHUNKS", 150)
    monkeypatch.setattr(postgres_vectors, "_MOST_CANDIDATES", 400)  # 200 of 3000 chunks would need 1,500
    assert recall(hnsw.store, some) >= 0.99


def test_the_plans_are_those_that_were_meant(hnsw: Hnsw, monkeypatch: pytest.MonkeyPatch) -> None:
    row = hnsw.large["large"][:1]
    parameters = (str(row[0].tolist()), [1], str(row[0].tolist()), MOST)
    database = hnsw.store._database
    exact = database.query(f"EXPLAIN {postgres_vectors._EXACT}", parameters)
    assert "vectors_hnsw" not in str(exact)
    explained = postgres_vectors._BY_INDEX.replace("SELECT document", "EXPLAIN SELECT document")
    monkeypatch.setattr(postgres_vectors, "_BY_INDEX", explained)
    by_index = database.run(lambda connection: postgres_vectors._by_index(connection, parameters, 200))
    assert "vectors_hnsw" in str(by_index)


@pytest.mark.usefixtures("small_enough")
def test_the_index_passes_over_what_the_model_cannot_read(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_vectors, "_EXACT", "SELECT 'the exact search was asked'::text::integer")
    store, readable = PostgresVectors(Path(), server.new_database()), vectors(1500)
    store.add("half", 0, np.concatenate([readable, np.zeros_like(readable)]))
    assert recall(store, {"half": readable}) >= RECALL
    store.close()


def test_what_is_set_for_the_index_ends_with_its_search(hnsw: Hnsw) -> None:
    def setting_after(connection: Connection) -> object:
        row = hnsw.large["large"][:1]
        postgres_vectors._by_index(connection, (str(row[0].tolist()), [1], str(row[0].tolist()), MOST), 200)
        return connection.execute("SELECT current_setting('enable_seqscan')").fetchone()

    assert hnsw.store._database.run(setting_after) == ("on",)
