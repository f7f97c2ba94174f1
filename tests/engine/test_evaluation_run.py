"""`make eval` for real: two small PDFs and three questions through a started product, and what is told of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.evaluation import asking, engine_door, ingest, pipelines, rows, store_sizes, stores, verdicts
from benchmarks.evaluation.__main__ import texts_of
from benchmarks.evaluation.ingest import Ingest, Query
from benchmarks.evaluation.long_document import long_document
from benchmarks.evaluation.minilm import MiniLM
from benchmarks.evaluation.product import SQLITE, product
from benchmarks.evaluation.questions import EvaluationSet, load
from tests.pdfs import make_pdf

HARBOUR = [
    "The harbour of Ouistreham was dug in the year 1857 by the engineer Tostain.\nIts two locks are 225 metres long.",
    "The lighthouse was lit for the first time in 1905.\nIts lamp is seen from sixteen miles away.",
]
BEES = [
    "Honey bees dance to tell each other where flowers stand.\nKarl von Frisch decoded the dance in Munich.",
    "A queen lays up to two thousand eggs on a day in June.\nDrones have no sting.",
]


@pytest.fixture
def whole(tmp_path: Path) -> EvaluationSet:
    (tmp_path / "harbour.pdf").write_bytes(make_pdf(HARBOUR))
    (tmp_path / "bees.pdf").write_bytes(make_pdf(BEES))
    told = [
        ("harbour.pdf", 2, "When was the lighthouse lit for the first time?", ["1905"]),
        ("bees.pdf", 1, "Who decoded the dance of honey bees?", ["Karl von Frisch", "von Frisch"]),
        ("harbour.pdf", None, "Who painted the locks of the harbour?", []),
    ]
    lines = [
        {
            "id": str(number),
            "file": file,
            "page": page,
            "pages": [page] if page else [],
            "question": question,
            "answers": answers,
            "source": "test",
            "unanswerable": page is None,
        }
        for number, (file, page, question, answers) in enumerate(told)
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return load(tmp_path)


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(True, tmp_path_factory.mktemp("eval"), print)


def test_of_several_files_the_middle_of_each_figure_is_taken() -> None:
    def of(n: float) -> Ingest:
        return Ingest(40, n, 10 - n, n + 1, n + 2, n + 3, f"file {n:g}", Query(n, n, n))

    middle = ingest.middle([of(5), of(1), of(2)])
    assert middle == Ingest(40, 2, 8, 3, 4, 5, "file 5", Query(2, 2, 2))


def test_the_product_is_asked_and_its_answers_are_scored(bench: Bench, whole: EvaluationSet) -> None:
    texts = texts_of(bench, whole)
    assert "1905" in texts["harbour.pdf"][1]
    document = long_document(texts, 12, seed=1)
    with product(bench, SQLITE) as running:
        outcome = asyncio.run(asking.ask_everything(bench, running, whole, texts))
        taken = asyncio.run(ingest.take_in(running, document))
        sent = asyncio.run(engine_door.ask_while_sending(running.engine, [long_document(texts, 80, seed=2)]))
    assert [len(part.asked) for part in (outcome.one, outcome.store, outcome.off, outcome.near)] == [2, 2, 2, 1]
    row = rows.of_product(outcome, MiniLM())
    assert (row.one.pages, row.store.pages) == ((100, 100, 100), (100, 100, 100))
    assert row.one.answer == 100
    assert (outcome.false_quotes, outcome.peak > 10**7, outcome.one.cpu_s > 0) == ((), True, True)
    assert all(0 < asked.said.first_s <= asked.said.done_s for asked in outcome.store.asked)
    figures = {figure.what: figure for figure in verdicts.of_questions(outcome, row, None)}
    assert figures["page-hit@1, one document"].value == 100
    assert figures["quotes that do not stand where their source says"].value == 0
    assert taken.pages == 12
    assert taken.first_answer_s > 0
    assert 0 < taken.ready_s <= taken.indexed_s
    assert taken.query.right == 100
    assert (sent.pages, 1 <= sent.sent <= 80) == (80, True)
    assert 0 < sent.first_answer_s < sent.indexed_s
    assert verdicts.of_engine(sent).value == sent.first_answer_s / sent.indexed_s


def test_other_pipelines_find_pages_too(bench: Bench, whole: EvaluationSet) -> None:
    texts = texts_of(bench, whole)
    found = rows.of_pipelines(bench, whole, texts, MiniLM(), pipelines.PIPELINES)
    assert [row.name for row in found] == list(pipelines.PIPELINES)
    # A naive chunk holds both pages and cannot say which: it names the first one first.
    assert found[0].one.pages == (50, 100, 100)
    assert [row.store.pages[1] for row in found] == [100] * len(found)
    assert rows.table(found).count("\n") == 2 + len(found)


def test_a_long_document_tells_each_page_its_own_line() -> None:
    document = long_document({"harbour.pdf": HARBOUR, "bees.pdf": BEES}, 9, seed=1)
    assert document.pages == 9
    assert len({name for entry in document.entries for name in entry}) == 18
    assert document.pdf == long_document({"harbour.pdf": HARBOUR, "bees.pdf": BEES}, 9, seed=1).pdf
    keeper, ship = document.entries[3]
    assert (keeper in document.question(4), document.answer(4)) == (True, ship)


@pytest.mark.parametrize("name", list(stores.STORES))
def test_a_store_is_filled_and_searched(bench: Bench, name: str) -> None:
    load = store_sizes.synthetic({"harbour.pdf": HARBOUR, "bees.pdf": BEES}, MiniLM(), 60, seed=2)
    assert (len(load.texts), load.vectors.shape, len(load.questions)) == (60, (60, 384), 60)
    figures = store_sizes.measure(bench, name, stores.STORES[name], load)
    assert [figure.value > 0 for figure in figures] == [True, True, True]
    assert figures[2].value >= 90


def test_a_page_is_written_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- a: begin -->\nold\n<!-- a: end -->\nAfter.\n")
    for _ in range(2):
        report.write_between(page, "<!-- a: begin -->", "<!-- a: end -->", "new")
    assert page.read_text() == "Before.\n<!-- a: begin -->\n\nnew\n<!-- a: end -->\nAfter.\n"
    with pytest.raises(RuntimeError, match="no place"):
        report.write_between(page, "<!-- b: begin -->", "<!-- b: end -->", "new")
