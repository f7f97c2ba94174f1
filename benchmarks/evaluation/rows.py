"""The table in which the product stands beside the other pipelines: pages found, answers in what would be read on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.evaluation import chunking, pipelines, scoring
from benchmarks.evaluation.asking import Outcome, Phase
from benchmarks.evaluation.minilm import MiniLM
from benchmarks.evaluation.pipelines import CONTEXT_TOKENS
from benchmarks.evaluation.questions import EvaluationSet, Question
from benchmarks.evaluation.scoring import Said
from benchmarks.figures import number

FIRSTS = (1, 3, 5)
"""The k of page-hit@k."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Per cent of the answerable questions: page-hit@1/3/5, and the answer within the first 800 tokens."""

    pages: tuple[float, ...]
    answer: float

    def __str__(self) -> str:
        return f"{' / '.join(number(share) for share in self.pages)} | {number(self.answer)}"


@dataclass(frozen=True, slots=True)
class Row:
    """One pipeline: its hits with one document and with all, CPU seconds of indexing all, CPU ms of a question."""

    name: str
    one: Hits
    store: Hits
    index_cpu_s: float
    query_cpu_ms: float


Finding = tuple[Question, Sequence[tuple[str, int | None]], str]
"""A question, the (file, page) places that were retrieved, best first, and the text that goes with them."""


def of_product(outcome: Outcome, model: MiniLM) -> Row:
    """The product's row: its places are the sources, its text the answer and then what the sources quote."""

    def hits(phase: Phase) -> Hits:
        return _hits((asked.question, _places(asked.said), _shown(asked.said, model)) for asked in phase.asked)

    query_cpu_ms = 1000 * outcome.store.cpu_s
    return Row("the product", hits(outcome.one), hits(outcome.store), outcome.taken.cpu_s, query_cpu_ms)


def within_context(whole: EvaluationSet, contexts: Sequence[str], model: MiniLM) -> float:
    """Per cent of the answerable questions whose answer is in the first 800 tokens of what a model was given."""
    asked = zip(whole.answerable, contexts, strict=True)
    cut = [(chunking.first_tokens(text, model.offsets, CONTEXT_TOKENS), question.answers) for question, text in asked]
    return scoring.share([scoring.contains(text, answers) for text, answers in cut])


def of_pipelines(
    bench: Bench, whole: EvaluationSet, texts: Mapping[str, Sequence[str]], model: MiniLM, names: Iterable[str]
) -> list[Row]:
    """The rows of these pipelines, over the same texts that the product's engine gets."""
    rows = []
    for name in names:
        store = pipelines.build(name, model, texts)
        alone = {file: store.of_file(file) for file in {question.file for question in whole.answerable}}
        spent: list[float] = []

        def finding(question: Question, pipeline: pipelines.Pipeline, spent: list[float] = spent) -> Finding:
            found = pipeline.retrieve(question.question)
            spent.append(found.cpu_s)
            return question, found.places, found.context

        one = _hits(finding(question, alone[question.file]) for question in whole.answerable)
        spent.clear()
        mixed = _hits(finding(question, store) for question in whole.answerable)
        rows.append(Row(name, one, mixed, store.index_cpu_s, 1000 * sum(spent) / len(spent)))
        bench.say(f"  {name}: {store.chunk_count:,} chunks, {store.index_cpu_s:.1f} CPU-s")
    return rows


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| pipeline | one document: page-hit@1/3/5 | answer within 800 tokens | all documents mixed: page-hit@1/3/5 "
        "| answer within 800 tokens | indexing all, CPU-s | a question, CPU-ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        costs = f"{number(row.index_cpu_s)} | {number(row.query_cpu_ms)}"
        lines.append(f"| {row.name} | {row.one} | {row.store} | {costs} |")
    return "\n".join(lines) + "\n"


def _hits(found: Iterable[Finding]) -> Hits:
    kept = list(found)
    pages = (
        scoring.share([scoring.page_hit(places, asked.file, asked.pages, first) for asked, places, _ in kept])
        for first in FIRSTS
    )
    return Hits(tuple(pages), scoring.share([scoring.contains(text, asked.answers) for asked, _, text in kept]))


def _places(said: Said) -> list[tuple[str, int | None]]:
    return [(source.file, source.page) for source in said.sources]


def _shown(said: Said, model: MiniLM) -> str:
    """What a reader sees, the answer first; quotes that stand in it are not counted twice."""
    text = scoring.one_line(said.text)
    more = [quote for source in said.sources if (quote := scoring.one_line(source.quote)) not in text]
    return chunking.first_tokens("\n\n".join((said.text, *more)), model.offsets, CONTEXT_TOKENS)
