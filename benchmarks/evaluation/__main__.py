"""`python -m benchmarks.evaluation`: asks the product all of a set, prints the tables and writes docs/evaluation.md.

Exit code 1 where a goal was missed or something could not be measured; what could not be measured is not written.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import machine, report
from benchmarks.bench import ROOT, SHARED, Bench
from benchmarks.evaluation import asking, engine_door, flood, ingest, pipelines, rows, store_sizes, verdicts
from benchmarks.evaluation.long_document import long_document
from benchmarks.evaluation.minilm import MiniLM
from benchmarks.evaluation.page_texts import page_texts
from benchmarks.evaluation.product import DATABASES, POSTGRESQL, SQLITE, product
from benchmarks.evaluation.questions import EvaluationSet, load, sample
from benchmarks.evaluation.stores import STORES
from benchmarks.figures import Figure, table

PAGE = ROOT / "docs" / "evaluation.md"
PUBLIC = SHARED / "eval" / "public"
PACKAGES = ("Django", "channels", "uvicorn", "websockets", "pypdfium2", "onnxruntime", "tokenizers", "numpy", "psycopg")
SHORT_PAGES, LONG_PAGES, QUICK_LONG_PAGES, SEED, OTHER_SEED = 40, 1000, 200, 5, 105
QUICK_STEP = 5
SHORT_FILES, QUICK_SHORT_FILES = 5, 1
"""What takes a tenth of a second is taken of several files, one after the other."""

Texts = Mapping[str, Sequence[str]]


def main() -> int:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    try:
        whole = load(chosen.set)
    except ValueError as why:
        say(str(why))
        return 2
    measure: Callable[[Bench, EvaluationSet, str], tuple[str, list[Figure]]] = sizes if chosen.index else questions
    with tempfile.TemporaryDirectory(prefix="miva-eval-") as folder:
        try:
            words, figures = measure(Bench(chosen.quick, Path(folder), say), whole, chosen.database)
        except Exception:
            traceback.print_exc()
            say("Not measured.")
            return 1
    print(words)
    print(_machine())
    if not chosen.quick and chosen.set.resolve() == PUBLIC.resolve():
        _write(words, chosen.database, is_index=chosen.index)
    missed = [figure.what for figure in figures if figure.is_missed]
    for what in missed:
        say(f"Missed: {what}")
    return 1 if missed else 0


def questions(bench: Bench, whole: EvaluationSet, database: str) -> tuple[str, list[Figure]]:
    """All that the questions tell: the tables in Markdown, and the figures with goals."""
    asked = sample(whole, QUICK_STEP) if bench.quick else whole
    texts = texts_of(bench, whole)
    count = QUICK_SHORT_FILES if bench.quick else SHORT_FILES
    short, others = (
        [long_document(texts, SHORT_PAGES, seed + number) for number in range(count)] for seed in (SEED, OTHER_SEED)
    )
    bench.say(f"The product on {database} …")
    with product(bench, database) as running:
        outcome = asyncio.run(asking.ask_everything(bench, running, asked, texts))
        taken = ingest.middle([asyncio.run(ingest.take_in(running, document)) for document in short])
        sent = asyncio.run(engine_door.ask_while_sending(running.engine, others))
    bench.say("The product with a model that writes down what it is asked …")
    model = MiniLM()
    contexts = asyncio.run(asking.contexts(bench, database, asked))
    within = rows.within_context(asked, contexts, model) if contexts else None
    bench.say("Other pipelines …")
    names = [pipelines.KEYWORDS] if bench.quick else list(pipelines.PIPELINES)
    ours = rows.of_product(outcome, model)
    beside = rows.of_pipelines(bench, asked, texts, model, names)
    naive_s = None
    if not bench.quick:
        naive_s = pipelines.build(pipelines.NAIVE, model, _texts_of_short(bench, short[0].pdf)).index_cpu_s
    figures = [
        *verdicts.of_questions(outcome, ours, within),
        *verdicts.of_ingest(taken, naive_s, ingest.alone(short[0].pdf)),
        verdicts.of_engine(sent),
    ]
    return f"{rows.table([ours, *beside])}\n{table(figures)}", figures


def sizes(bench: Bench, whole: EvaluationSet, database: str) -> tuple[str, list[Figure]]:
    """A file of 1,000 pages through the product, and 100,000 chunks in each store: the table, and its figures."""
    texts = texts_of(bench, whole)
    document = long_document(texts, QUICK_LONG_PAGES if bench.quick else LONG_PAGES, SEED)
    bench.say(f"{document.pages:,} pages through the product on {database} …")
    with product(bench, database) as running:
        figures = verdicts.of_long_file(asyncio.run(ingest.take_in(running, document)))
        running.look()
        figures.append(Figure("most memory of server, engine and readers meanwhile", running.peak / 1e6, "MB"))
        count = flood.QUICK_QUESTIONS if bench.quick else flood.QUESTIONS
        bench.say(f"{count:,} questions in a row …")
        figures.append(verdicts.of_flood(asyncio.run(flood.ask_in_a_row(running, document, count))))
    chunks = store_sizes.QUICK_CHUNKS if bench.quick else store_sizes.CHUNKS
    given = store_sizes.synthetic(texts, MiniLM(), chunks, SEED)
    for name, opener in STORES.items():
        figures += store_sizes.measure(bench, name, opener, given)
    return table(figures), figures


def texts_of(bench: Bench, whole: EvaluationSet) -> Texts:
    """The pages' texts of the set's files, as the engine gets them."""
    return dict(zip(whole.files, page_texts([whole.folder / file for file in whole.files], bench.folder), strict=True))


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _texts_of_short(bench: Bench, pdf: bytes) -> Texts:
    path = bench.folder / "register.pdf"
    path.write_bytes(pdf)
    return {path.name: page_texts([path], bench.folder)[0]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description="Measures the answers.")
    parser.add_argument(
        "--set", type=Path, default=PUBLIC, metavar="FOLDER", help="an evaluation set (default: public)"
    )
    parser.add_argument("--quick", action="store_true", help="every fifth question: for every day; writes nothing")
    parser.add_argument("--database", choices=DATABASES, default=SQLITE, help="what the product keeps its data in")
    parser.add_argument("--index", action="store_true", help="a file of 1,000 pages and 100,000 chunks instead")
    return parser.parse_args()


def _machine() -> str:
    return machine.description(PACKAGES, with_nginx=False)


def _write(words: str, database: str, *, is_index: bool) -> None:
    """Into the part of the page that is this command's."""
    command = (
        "make eval" + (" INDEX=1" if is_index else "") + (" DATABASE=postgresql" if database == POSTGRESQL else "")
    )
    marks = f"<!-- {command}: begin -->", f"<!-- {command}: end -->"
    report.write_between(PAGE, *marks, f"Measured on {report.today()} by `{command}`. {_machine()}\n\n{words}")
    say(f"Written to {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    sys.exit(main())
