"""Whether thousands of questions in a row, all of them different, cost memory."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.evaluation import scoring
from benchmarks.evaluation.asking import INDEXED_S
from benchmarks.evaluation.door import knock
from benchmarks.evaluation.long_document import LongDocument
from benchmarks.evaluation.product import Running

QUESTIONS, QUICK_QUESTIONS = 5000, 500
CONVERSATIONS = 50
_SETTLING = 5
"""One of so many questions comes before memory is looked at: what is kept on purpose is full by then."""


@dataclass(frozen=True, slots=True)
class Flood:
    """`right` is the per cent of the questions that were answered rightly; `growth` bytes of server, engine and readers
    together, `of_database` those of PostgreSQL."""

    questions: int
    right: float
    growth: int
    of_database: int


async def ask_in_a_row(running: Running, document: LongDocument, questions: int) -> Flood:
    """Asks about pages in turn, each time in other words, in CONVERSATIONS. Raises RuntimeError, TimeoutError."""
    right, before, of_database = [], 0, 0
    async with knock(running.url) as door:
        upload = await door.send_file("register.pdf", document.pdf)
        await door.all_indexed([upload], INDEXED_S)
        for number in range(questions):
            page = 1 + number % document.pages
            question = f"{document.question(page)} ({number})"
            said = await door.ask(question, {upload.document: upload.name}, f"talk {number % CONVERSATIONS}")
            right.append(scoring.contains_words(said.text, [document.answer(page)]))
            if number == questions // _SETTLING:
                before, of_database = running.held_by_server(), running.held_by_database()
        growth, of_database = running.held_by_server() - before, running.held_by_database() - of_database
        return Flood(questions, scoring.share(right), growth, of_database)
