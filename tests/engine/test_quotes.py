"""Which quotes an answer has, and in which order."""

from __future__ import annotations

import re
from typing import Any

from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap


async def ask(engine: Engine, question: str, *pages: str) -> dict[str, Any]:
    """The answer to a question about a PDF of these pages; each source's quote stands where it says."""
    async with engine.open() as client:
        answer = await client.ask(wrap(question, [pdf(*pages)]))
    for source in answer["sources"]:
        page = pages[source["page"] - 1]
        assert " ".join(page[source["start"] : source["end"]].split()) == source["quote"]
    return answer


def quotes(answer: dict[str, Any]) -> list[str]:
    """The quotes of an answer, in its order."""
    return re.findall(r"“([^”]*)” \(page \d+\)", answer["message"])


async def test_the_best_quote_comes_first(shared_engine: Engine) -> None:
    pages = ["Every ferry needs a captain and a crew.", "The captain of the blue ferry is called Anna Brook."]
    answer = await ask(shared_engine, "What is the captain of the blue ferry called?", *pages)
    found = quotes(answer)
    assert found[0] == pages[1]
    assert len(found) > 1
    assert found == [source["quote"] for source in answer["sources"][: len(found)]]
