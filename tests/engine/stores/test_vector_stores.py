"""Every vector store keeps the same promises; the state machine looks for one that breaks them."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from miva.engine.stores.base import VectorStore
from miva.engine.stores.faiss_files import ROWS
from miva.engine.stores.postgres_vectors import PostgresVectors
from miva.engine.vectors import DIMENSION, Vectors
from tests.engine.stores.conftest import KEPT, OpenStore
from tests.engine.stores.material import ODD_IDS, new_id, question_near, unit, vectors
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[3]
CLOSE = 0.01
"""What base.VectorStore allows a cosine to be off."""


def test_what_comes_out_is_what_went_in(open_store: OpenStore) -> None:
    rows, document = vectors(300), new_id()
    store = open_store()
    store.add(document, 0, rows[:100])
    store.add(document, 100, rows[100:])
    store = open_store()
    assert store.count(document) == 300
    question = question_near(rows[7])
    exact = rows @ question[0]
    assert store.cosines(document, range(300), question) == pytest.approx(dict(enumerate(exact)), abs=CLOSE)
    near = store.nearest([document], question, 50)
    assert near[0].chunk == 7
    assert [n.cosine for n in near] == sorted((n.cosine for n in near), reverse=True)
    assert [n.cosine for n in near] == pytest.approx(np.sort(exact)[::-1][:50].tolist(), abs=CLOSE)
    assert all(n.cosine == pytest.approx(exact[n.chunk], abs=CLOSE) and n.document == document for n in near)


def test_only_the_asked_documents_are_searched(store: VectorStore) -> None:
    asked, other, never = new_id(), new_id(), new_id()
    rows = vectors(60)
    store.add(asked, 0, rows[:20])
    store.add(other, 0, rows[20:])
    question = rows[30:31]
    assert {n.document for n in store.nearest([asked, never], question, 50)} == {asked}
    assert len(store.nearest([asked], question, 50)) == 20
    both = store.nearest([asked, other], question, 60)
    assert (both[0].document, both[0].chunk, len(both)) == (other, 10, 60)
    assert store.nearest([never], question, 50) == store.nearest([], question, 50) == []
    assert store.nearest([asked], question, 0) == []


def test_a_row_of_zeros_counts_and_is_near_to_nothing(store: VectorStore) -> None:
    document, rows = new_id(), vectors(60)
    rows[::3] = 0
    store.add(document, 0, rows)
    assert store.count(document) == 60
    question = question_near(rows[7])
    near = store.nearest([document], question, 60)
    assert near[0].chunk == 7
    assert all(n.cosine == 0 for n in near if n.chunk % 3 == 0)
    told = store.cosines(document, range(60), question)
    assert all(math.isnan(cosine) or cosine == 0 for chunk, cosine in told.items() if chunk % 3 == 0)
    assert {chunk: told[chunk] for chunk in range(60) if chunk % 3} == pytest.approx(
        {chunk: float(rows[chunk] @ question[0]) for chunk in range(60) if chunk % 3}, abs=CLOSE
    )


def test_a_document_without_vectors(store: VectorStore) -> None:
    document = new_id()
    store.forget(document)
    store.add(document, 0, vectors(3)[:0])
    assert store.count(document) == 0
    assert store.cosines(document, [0, 1], vectors(1)) == {}


def test_cosines_of_chunks_in_any_order(store: VectorStore) -> None:
    document, rows = new_id(), vectors(30)
    store.add(document, 0, rows)
    question = rows[3:4]
    told = store.cosines(document, [29, 3, 30, 3, 10_000], question)
    assert told == pytest.approx({29: float(rows[29] @ rows[3]), 3: 1.0}, abs=CLOSE)
    assert store.cosines(document, [], question) == {}


def test_what_does_not_follow_is_not_kept(store: VectorStore) -> None:
    document, rows = new_id(), vectors(30)
    store.add(document, 5, rows)
    assert store.count(document) == 0
    store.add(document, 0, rows[:10])
    for first in (0, 5, 11, 20):
        store.add(document, first, rows[10:20])
    assert store.count(document) == 10
    store.add(document, 10, rows[10:])
    assert store.cosines(document, range(30), rows[12:13])[12] == pytest.approx(1, abs=CLOSE)
    assert store.count(document) == 30


def test_ids_are_taken_as_they_are(store: VectorStore, tmp_path: Path) -> None:
    rows = vectors(len(ODD_IDS))
    for number, document in enumerate(ODD_IDS):
        store.add(document, 0, rows[number : number + 1])
    for number, document in enumerate(ODD_IDS):
        (near,) = store.nearest([document], rows[number : number + 1], 5)
        assert (near.document, near.chunk) == (document, 0)
        assert near.cosine == pytest.approx(1, abs=CLOSE)
        store.forget(document)
        assert store.count(document) == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"vectors"}


def test_forgotten_for_good(open_store: OpenStore) -> None:
    document, other, rows = new_id(), new_id(), vectors(40)
    store = open_store()
    store.add(document, 0, rows)
    store.add(other, 0, rows)
    store.nearest([document], rows[:1], 5)
    store.forget(document)
    for seen in (store, open_store()):
        assert seen.count(document) == 0
        assert seen.nearest([document], rows[:1], 5) == []
        assert seen.cosines(document, [0], rows[:1]) == {}
        assert seen.count(other) == 40
    store.add(document, 40, rows)
    assert store.count(document) == 0
    store.add(document, 0, rows[:3])
    assert open_store().count(document) == 3


@pytest.mark.parametrize("name", ["files", "faiss"])
def test_no_file_of_it_stays(name: str, tmp_path: Path) -> None:
    store = KEPT[name](tmp_path, "")
    store.add("document", 0, vectors(5000))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) >= 5000 * DIMENSION
    store.forget("document")
    assert [path for path in tmp_path.rglob("*") if path.is_dir() or path.stat().st_size] == []


def test_no_row_of_it_stays(server: PostgresServer) -> None:
    url = server.new_database()
    store = PostgresVectors(Path(), url)
    store.add("document", 0, vectors(50))
    rows = "SELECT (SELECT count(*) FROM miva_engine.embedded), (SELECT count(*) FROM miva_engine.vectors)"
    with psycopg.connect(url, autocommit=True) as client:
        assert client.execute(rows).fetchone() == (1, 50)
        store.forget("document")
        assert client.execute(rows).fetchone() == (0, 0)
    store.close()


def test_threads_that_add_the_same_keep_it_once(store: VectorStore) -> None:
    document, rows = new_id(), vectors(200)

    def work(_: int) -> None:
        while (held := store.count(document)) < len(rows):
            store.add(document, held, rows[held : held + 7])
            store.nearest([document], rows[:1], 5)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert_holds(store, document, rows)


@pytest.mark.parametrize("name", KEPT)
def test_processes_that_add_the_same_keep_it_once(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("database") if name == "pgvector" else ""
    document, rows = new_id(), vectors(600)
    reader = KEPT[name](tmp_path, url)
    adders = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.stores.adder", name, str(tmp_path), url, document, "600", step],
            cwd=ROOT,
        )
        for step in ("7", "11")
    ]
    while any(adder.poll() is None for adder in adders):
        near = reader.nearest([document], rows[:1], 5)  # also what another process is adding can be searched
        assert not near or near[0].cosine == pytest.approx(1, abs=CLOSE)
    assert [adder.returncode for adder in adders] == [0, 0]
    assert_holds(reader, document, rows)
    reader.close()


def assert_holds(store: VectorStore, document: str, rows: Vectors) -> None:
    assert store.count(document) == len(rows)
    for chunk in range(0, len(rows), 1 + len(rows) // 20):
        cosines = store.cosines(document, range(len(rows)), rows[chunk : chunk + 1])
        assert cosines == pytest.approx(dict(enumerate(rows @ rows[chunk])), abs=CLOSE)


def test_a_file_cut_off_by_a_power_cut_goes_on_behind_its_last_whole_row(tmp_path: Path) -> None:
    rows = vectors(20)
    store = KEPT["files"](tmp_path, "")
    store.add("document", 0, rows)
    (file,) = tmp_path.iterdir()
    with file.open("r+b") as cut:
        cut.truncate(10 * DIMENSION + 100)
    store = KEPT["files"](tmp_path, "")
    assert store.count("document") == 10
    assert set(store.cosines("document", range(20), rows[:1])) == set(range(10))
    store.add("document", 10, rows[10:])
    assert_holds(store, "document", rows)


def test_a_broken_faiss_file_counts_as_not_there(tmp_path: Path) -> None:
    rows = vectors(2 * ROWS + 10)
    store = KEPT["faiss"](tmp_path, "")
    store.add("document", 0, rows)
    files = sorted(tmp_path.rglob("*.faiss"))
    assert len(files) == 3
    for file, left in ((files[2], 2 * ROWS), (files[0], 0)):
        file.write_bytes(file.read_bytes()[:-100])
        assert store.count("document") == left
        assert len(store.nearest(["document"], rows[:1], 3 * ROWS)) == left
    store.add("document", 0, rows)
    assert_holds(store, "document", rows)


def test_a_faiss_file_of_another_kind_counts_as_not_there(tmp_path: Path) -> None:
    rows = vectors(100)
    store = KEPT["faiss"](tmp_path, "")
    store.add("document", 0, rows)
    (file,) = tmp_path.rglob("*.faiss")
    halves = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    halves.add(rows)
    faiss.write_index(halves, str(file))
    assert store.count("document") == 0
    assert store.nearest(["document"], rows[:1], 3) == []
    store.add("document", 0, rows)
    assert_holds(store, "document", rows)


class Machine(RuleBasedStateMachine):
    """A vector store beside a dictionary of exact rows."""

    open_store: OpenStore

    documents = Bundle("documents")

    @initialize()
    def begin(self) -> None:
        self.held: dict[str, Vectors] = {}
        self.store = self.open_store()

    @rule(target=documents, odd=st.sampled_from(["", "../", "\0"]))
    def new_document(self, odd: str) -> str:
        document = odd + new_id()
        self.held[document] = np.zeros((0, DIMENSION), np.float32)
        return document

    @rule(document=documents, count=st.integers(0, 12), skip=st.sampled_from([0, 0, 0, -1, 1]), seed=st.integers(0, 99))
    def add(self, document: str, count: int, skip: int, seed: int) -> None:
        first = len(self.held[document]) + skip
        rows = unit(np.random.default_rng(seed).standard_normal((count, DIMENSION)))
        if first < 0:
            return
        self.store.add(document, first, rows)
        if not skip:
            self.held[document] = np.concatenate([self.held[document], rows])

    @rule(document=documents)
    def forget(self, document: str) -> None:
        self.store.forget(document)
        self.held[document] = self.held[document][:0]

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.open_store()

    @rule(asked=st.lists(documents, max_size=3, unique=True), most=st.integers(1, 30), seed=st.integers(0, 99))
    def search(self, asked: list[str], most: int, seed: int) -> None:
        question = unit(np.random.default_rng(seed).standard_normal((1, DIMENSION)))
        exact = {(d, i): float(row @ question[0]) for d in asked for i, row in enumerate(self.held[d])}
        near = self.store.nearest(asked, question, most)
        assert len({(n.document, n.chunk) for n in near}) == len(near) == min(most, len(exact))
        assert all(n.cosine == pytest.approx(exact[n.document, n.chunk], abs=CLOSE) for n in near)
        best = sorted(exact.values(), reverse=True)[: len(near)]
        assert [n.cosine for n in near] == pytest.approx(best, abs=CLOSE)
        for document in asked:
            count = self.store.count(document)
            assert count == len(self.held[document])
            told = self.store.cosines(document, range(count + 2), question)
            assert told == pytest.approx({i: exact[document, i] for i in range(count)}, abs=CLOSE)

    def teardown(self) -> None:
        for document in self.held:
            self.store.forget(document)
        self.store.close()


def test_as_a_dictionary_would(open_store: OpenStore) -> None:
    opener = open_store

    class OfThisStore(Machine):
        open_store = staticmethod(opener)

    run_state_machine_as_test(
        OfThisStore,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
