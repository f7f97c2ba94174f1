"""The figures of a run with the goals of the design's section 5: what was reached, and what was missed."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evaluation import scoring
from benchmarks.evaluation.asking import Outcome, Phase
from benchmarks.evaluation.engine_door import Sent
from benchmarks.evaluation.flood import Flood
from benchmarks.evaluation.ingest import Ingest
from benchmarks.evaluation.rows import FIRSTS, Hits, Row
from benchmarks.figures import Figure, Goal, number

STORE_GOALS = (Goal(84, 90, at_least=True), Goal(95, at_least=True), Goal(97, at_least=True))
ONE_GOALS = (Goal(85, 90, at_least=True), None, Goal(98, at_least=True))


def of_questions(outcome: Outcome, row: Row, within_context: float | None) -> list[Figure]:
    """Pages, answers, refusals, quotes, times and memory.

    `within_context` is how often a model would have been given the answer, None where the engine asks no model.
    """
    one, store, problems = outcome.one, outcome.store, outcome.false_quotes
    quotes = [f"of {outcome.sources:,} sources", *(problem.replace("|", "/") for problem in problems[:3])]
    return [
        *_pages("all documents mixed", row.store, STORE_GOALS, len(store.asked)),
        *_within(row.store.answer, within_context),
        *_pages("one document", row.one, ONE_GOALS, len(one.asked)),
        _contained("the answer contains the gold one, one document", one, Goal(90, at_least=True)),
        _contained("the same, all documents mixed", store, None),
        _best_sentence("the first source's quote contains the gold answer, one document", one),
        _refused("refused: questions about something else", outcome.off, Goal(97, at_least=True)),
        _refused("refused though the document tells (one document)", one, Goal(3)),
        _refused("the same, all documents mixed", store, None),
        _refused("refused: near misses (told, not promised)", outcome.near, None),
        Figure("quotes that do not stand where their source says", len(problems), "", Goal(0), "; ".join(quotes)),
        *_times("one document", one),
        *_times("all documents mixed", store),
        Figure("most memory of server, engine and readers", outcome.peak / 1e6, "MB", None, "proportional set sizes"),
        Figure("first answer about the set's first file", outcome.taken.first_answer_s, "s"),
        Figure("all of the set indexed", outcome.taken.indexed_s, "s", None, f"{number(outcome.taken.cpu_s)} CPU-s"),
    ]


def of_ingest(ingest: Ingest, naive_s: float | None, alone_s: float) -> list[Figure]:
    """How soon a file can be asked about, as shares of its full ingest; `naive_s` is what the naive pipeline takes,
    `alone_s` what pdfium takes for the pages' text, in a process that is there."""
    pages = f"{ingest.pages:,} pages"
    known = (
        f"known then: {ingest.progress}; pdfium by itself, in a bare loop, has the text of all pages after"
        f" {number(alone_s)} s ({number(alone_s / ingest.indexed_s)} ×)"
    )
    full = f"full ingest {number(ingest.indexed_s)} s ({number(ingest.cpu_s)} CPU-s)"
    if naive_s is not None:
        full += f"; the naive pipeline's {number(naive_s)} CPU-s, extraction not counted"
    return [
        _part(f"ready to be asked about, {pages}", ingest.ready_s, ingest, Goal(1 / 20), full),
        _part(
            f"first right answer, which waits until the file is read, {pages}",
            ingest.first_answer_s,
            ingest,
            None,
            known,
        ),
        _part(f"right answer when the file comes again, {pages}", ingest.again_s, ingest, Goal(1 / 100), ""),
    ]


def of_engine(sent: Sent) -> Figure:
    """How soon the engine answers about a file that it is being sent."""
    return Figure(
        f"first right answer while the file is being sent, at the engine's own socket, {sent.pages:,} pages",
        sent.first_answer_s / sent.indexed_s,
        "× full ingest",
        Goal(1 / 100),
        f"{number(sent.first_answer_s)} s of {number(sent.indexed_s)} s; {number(sent.sent)} pages were sent by then",
    )


def of_long_file(ingest: Ingest) -> list[Figure]:
    """What a long file takes, and questions to it."""
    pages = f"{ingest.pages:,} pages"
    query = ingest.query
    early = Goal(0.999)
    costs = f"median; {number(1000 * query.cpu_s)} CPU-ms, the database's included"
    return [
        Figure(f"index time, {pages}", ingest.indexed_s, "s", None, f"{number(ingest.cpu_s)} CPU-s"),
        _part(f"ready to be asked about, {pages}", ingest.ready_s, ingest, Goal(1 / 20), ""),
        _part(f"first right answer, {pages}", ingest.first_answer_s, ingest, early, f"known then: {ingest.progress}"),
        _part(f"right answer when the file comes again, {pages}", ingest.again_s, ingest, Goal(1 / 100), ""),
        Figure(f"query time, {pages}", 1000 * query.done_s, "ms", None, costs),
        Figure(f"questions about single pages answered rightly, {pages}", query.right, "%"),
    ]


def of_flood(flood: Flood) -> Figure:
    """Memory that questions in a row cost."""
    what = f"memory growth over {flood.questions:,} different questions in a row, after the first fifth"
    told = f"server, engine and readers; {number(flood.right)} % answered rightly"
    if flood.of_database:
        told += f"; the database's processes {number(flood.of_database / 1e6)} MB, of what was written in their cache"
    return Figure(what, flood.growth / 1e6, "MB", Goal(10), told)


def _within(shown: float, context: float | None) -> list[Figure]:
    """The goal is about what a model is given; where none is asked, about what a person is shown."""
    goal = Goal(97, at_least=True)
    what, told = "gold answer within the first 800 tokens, all documents mixed", "the answer, then its sources' quotes"
    if context is None:
        return [Figure(f"{what}: of what is shown", shown, "%", goal, told)]
    return [
        Figure(f"{what}: of what a model is given", context, "%", goal, "instructions and question not counted"),
        Figure(f"{what}: of what is shown", shown, "%", None, told),
    ]


def _pages(where: str, hits: Hits, goals: Sequence[Goal | None], count: int) -> list[Figure]:
    return [
        Figure(f"page-hit@{first}, {where}", share, "%", goal, f"of {count} questions")
        for first, share, goal in zip(FIRSTS, hits.pages, goals, strict=True)
    ]


def _contained(what: str, phase: Phase, goal: Goal | None) -> Figure:
    told = [scoring.contains(asked.said.text, asked.question.answers) for asked in phase.asked]
    whole = [scoring.contains_words(asked.said.text, asked.question.answers) for asked in phase.asked]
    return Figure(what, scoring.share(told), "%", goal, f"as whole words {number(scoring.share(whole))} %")


def _best_sentence(what: str, phase: Phase) -> Figure:
    told = [
        bool(asked.said.sources) and scoring.contains(asked.said.sources[0].quote, asked.question.answers)
        for asked in phase.asked
    ]
    return Figure(what, scoring.share(told), "%", Goal(None, 85, at_least=True))


def _refused(what: str, phase: Phase, goal: Goal | None) -> Figure:
    refused = [scoring.refuses(asked.said.text) for asked in phase.asked]
    return Figure(what, scoring.share(refused), "%", goal if refused else None, f"{sum(refused)} of {len(refused)}")


def _times(where: str, phase: Phase) -> list[Figure]:
    def spread(seconds: Sequence[float]) -> str:
        return f"p95 {number(1000 * scoring.quantile(seconds, 0.95))} ms"

    first, done = phase.first_s, phase.done_s
    return [
        Figure(f"to the first words, p50, {where}", 1000 * scoring.quantile(first, 0.5), "ms", None, spread(first)),
        Figure(f"to the end, p50, {where}", 1000 * scoring.quantile(done, 0.5), "ms", None, spread(done)),
        Figure(
            f"processor time of a question, {where}", 1000 * phase.cpu_s, "CPU-ms", None, "server, engine, database"
        ),
    ]


def _part(what: str, seconds: float, ingest: Ingest, goal: Goal | None, more: str) -> Figure:
    told = "; ".join(filter(None, (f"{number(seconds)} s of {number(ingest.indexed_s)} s", more)))
    return Figure(what, seconds / ingest.indexed_s, "× full ingest", goal, told)
