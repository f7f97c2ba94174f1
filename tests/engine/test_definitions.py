"""Questions about what something is or stands for are answered with the sentence that defines it."""

from __future__ import annotations

import pytest

from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap

PAGES = [
    "The otter register and every licence of the otter board are kept in the town hall. Each licence names an otter.",
    "The RBO pays for the jetty. The RBO meets in May. A letter to the RBO needs a stamp.",
    "Every member of the River Board of Otters (RBO) has a key. A licence is a paper that the mayor has signed.",
    "Papers go to the NSL (North Sea League) first. The NSL reads them and the NSL keeps them. The NSL is in Hull.",
    'A small boat for two is called a "skiff". The skiff is blue. Whoever takes the skiff signs for the skiff.',
    "The portafilter, the handle that holds the coffee, locks in. Clean the portafilter and dry the portafilter.",
    '2.1 "Catch" means all fish that were landed on one day. The catch is weighed. The catch was good, a big catch.',
]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What does RBO stand for?", "River Board of Otters (RBO)"),
        ("what is rbo short for", "River Board of Otters (RBO)"),
        ("What does the acronym RBO mean?", "River Board of Otters (RBO)"),
        ("What does NSL stand for?", "NSL (North Sea League)"),
        ("What is a licence?", "A licence is a paper that the mayor has signed."),
        ("What are licences?", "A licence is a paper that the mayor has signed."),
        ("What is a skiff?", 'A small boat for two is called a "skiff".'),
        ("What is a portafilter?", "The portafilter, the handle that holds the coffee, locks in."),
        ("Define catch", '"Catch" means all fish'),
        ("What does “catch” mean?", '"Catch" means all fish'),
    ],
)
async def test_the_definition_comes_first(shared_engine: Engine, question: str, words: str) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(wrap(question, [pdf(*PAGES)]))
    assert answer["message"].startswith("The document says:")
    assert words in answer["sources"][0]["quote"]


async def test_what_only_asks_is_not_looked_for(shared_engine: Engine) -> None:
    pages = [
        "Stand here for a short time and stand still. Shops stand for an hour.",
        "The KLM (Kelp League of Man) won.",
    ]
    async with shared_engine.open() as client:
        answer = await client.ask(wrap("What does KLM stand for?", [pdf(*pages)]))
        assert answer["message"] == f"The document says: “{pages[1]}” (page 2)"
        answer = await client.ask(wrap("What does it mean?", [pdf(*pages)]))
    assert answer["type"] == "chat"
