"""A word that no document has, one slip away from one of theirs, is taken for that."""

from __future__ import annotations

import pytest

from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap

PAGES = ["Foreign inspections take nine weeks.", "The harbour has a crane.", "Cells of the jail hold two."]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("forein inspections?", "Foreign inspections take nine weeks."),  # a letter is missing
        ("the harbbour?", "The harbour has a crane."),  # one too many
        ("the harbuor?", "The harbour has a crane."),  # two changed places
        ("the harboar?", "The harbour has a crane."),  # another one
    ],
)
async def test_a_slip_is_understood(shared_engine: Engine, question: str, words: str) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, [pdf(*PAGES)]))
    assert answer["message"].startswith(f"The document says: “{words}”")


@pytest.mark.parametrize("question", ["calls?", "arbour?", "harmony?"])
async def test_another_word_is_not_taken_for_a_slip(shared_engine: Engine, question: str) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, [pdf(*PAGES)]))
    assert answer["message"].startswith("I did not find this")
