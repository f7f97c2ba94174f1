"""Where a number or a date is asked for, of sentences that fit alike the one that has it comes first."""

from __future__ import annotations

import pytest

from miva.engine import figures
from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap


@pytest.mark.parametrize(
    "question",
    [
        "How many sheep are there?",
        "When does the ferry sail?",
        "In which year was the mill built?",
        "Wie groß ist die Herde?",
        "Combien coûte la laine ?",
        "¿Cuántas ovejas hay?",
    ],
)
def test_a_figure_is_asked_for(question: str) -> None:
    assert figures.asks_for_one(question)


@pytest.mark.parametrize("question", ["Who owns the sheep?", "How do I shear a sheep?", "Warum blökt das Schaf?"])
def test_no_figure_is_asked_for(question: str) -> None:
    assert not figures.asks_for_one(question)


@pytest.mark.parametrize(("text", "has"), [("in 1911", True), ("Zwölf Schafe.", True), ("Many sheep weighed.", False)])
def test_a_figure_is_seen(text: str, has: bool) -> None:
    assert figures.has_one(text) is has


@pytest.mark.parametrize(
    ("question", "pages", "words"),
    [
        ("How many sheep graze on the hill?", ["Many sheep graze on the hill.", "On the hill graze 40 sheep."], "40"),
        ("When was the mill built?", ["Of stone was the mill built.", "The mill was built of stone in 1911."], "1911"),
    ],
)
async def test_the_sentence_with_the_figure_comes_first(
    shared_engine: Engine, question: str, pages: list[str], words: str
) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, [pdf(*pages)]))
    assert words in answer["sources"][0]["quote"]
