"""Questions that compare documents get each of them described, and honest words before it."""

from __future__ import annotations

import pytest

from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap

RIVER = ["The river rises by four metres every spring.", "Otters differ from beavers: their tails are round."]
HARBOUR = ["The harbour has two ferries and a crane."]
FILES = [pdf(*RIVER, name="river.pdf"), pdf(*HARBOUR, name="harbour.pdf")]
WORDS = "I cannot compare documents in my own words; this is what each of them says:"


@pytest.mark.parametrize(
    "question",
    [
        "Compare the two documents",
        "compare",
        "What are the differences between these two documents?",
        "How do they differ?",
        "What do both files have in common?",
        "How similar are these PDFs to each other?",
        "river.pdf vs harbour.pdf",
        "What is the difference between river and harbour?",
    ],
)
async def test_each_document_is_described(shared_engine: Engine, question: str) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, FILES))
    assert answer["message"].startswith(WORDS)
    for words in ("river.pdf has 2 pages", "“The river rises", "harbour.pdf has 1 page", "“The harbour has"):
        assert words in answer["message"]
    assert {source["name"] for source in answer["sources"]} == {"river.pdf", "harbour.pdf"}


@pytest.mark.parametrize(
    "question", ["How do otters differ from beavers?", "Compare the ferries", "What is on page 1?", "summarise"]
)
async def test_who_asks_for_something_particular_or_another_thing_is_answered_so(
    shared_engine: Engine, question: str
) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, FILES))
    assert WORDS not in answer["message"]


async def test_one_document_is_not_compared(shared_engine: Engine) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap("What is the difference?", FILES[:1]))
    assert WORDS not in answer["message"]


async def test_behind_another_question_a_difference_is_one_of_what_that_was_about(shared_engine: Engine) -> None:
    async with shared_engine.open() as client:
        await client.ask(wrap("What have otters and beavers?", FILES))
        answer = await client.ask("And what is the difference?")
        assert WORDS not in answer["message"]
        answer = await client.ask("And what is the difference between the documents?")
        assert answer["message"].startswith(WORDS)
