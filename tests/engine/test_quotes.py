"""Which quotes an answer has, and in which order."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.engine.running import Engine
from tests.engine.wrapping import pdf, wrap

STAFF = [("Ben Hill", "mill"), ("Cora Dale", "harbour"), ("Anna Brook", "office")]


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


@pytest.mark.parametrize(
    ("question", "page", "quote"),
    [
        (
            "Why is the dam necessary?",
            "Why is the dam necessary?\nEvery spring the river rises by four metres.\nSheep graze in the north.",
            "Why is the dam necessary? Every spring the river rises by four metres.",
        ),
        (
            "What does the ferry carry?",
            "The ferry carries:\n• sheep and goats\n• timber from the mill\n\nIt does not sail in winter.",
            "The ferry carries: • sheep and goats • timber from the mill",
        ),
        (
            "What does the ferry carry?",
            "The ferry carries:\nSheep, goats and timber.\nNo boat sails in winter.",
            "The ferry carries: Sheep, goats and timber.",
        ),
        ("telephone", "Tel.\n\n+31 73-6456500\n\nSheep graze in the north.", "Tel. +31 73-6456500"),
        ("customs duty", "Customs duty:\n\n40 euros.\n\nSheep graze in the north.", "Customs duty: 40 euros."),
        (
            "Why is the dam necessary?",
            "Why is the dam necessary?\n\nSheep\n\nSheep graze in the north.",
            "Why is the dam necessary?",
        ),
        (
            "Where do sheep graze?",
            "Sheep graze in the north.\nThe mill stands by the dam.",
            "Sheep graze in the north.",
        ),
    ],
    ids=["question", "list", "lead-in", "label", "field", "heading behind", "whole sentence"],
)
async def test_what_says_nothing_by_itself_is_quoted_with_what_follows(
    shared_engine: Engine, question: str, page: str, quote: str
) -> None:
    answer = await ask(shared_engine, question, page)
    assert quotes(answer)[0] == quote
    assert answer["sources"][0]["quote"] == quote


@pytest.mark.parametrize(
    ("question", "page", "quote"),
    [
        (
            "Who counted the sheep?",
            "Anna Brook came to the mill in spring. She counted the sheep on the hill. The ferry sails at noon.",
            "Anna Brook came to the mill in spring. She counted the sheep on the hill.",
        ),
        (
            "Warum ist die Mühle geschlossen?",
            "Die Mühle ist seit März geschlossen. Dies liegt am Rost der Achse. Im Norden weiden Schafe.",
            "Die Mühle ist seit März geschlossen. Dies liegt am Rost der Achse.",
        ),
    ],
    ids=["whom it means is named before", "it goes on behind"],
)
async def test_sentences_that_lean_on_each_other_are_quoted_together(
    shared_engine: Engine, question: str, page: str, quote: str
) -> None:
    answer = await ask(shared_engine, question, page)
    assert answer["sources"][0]["quote"] == quote


async def test_a_sentence_is_about_whom_the_one_before_it_names(shared_engine: Engine) -> None:
    names = ["Dale", "Hill", "Brook", "Ford", "Wood"]
    page = " ".join(
        f"Mr {name} of house {n} came here. He has a licence for {n} sheep." for n, name in enumerate(names)
    )
    answer = await ask(shared_engine, "What has Wood a licence for?", page)
    assert "He has a licence for 4 sheep." in answer["sources"][0]["quote"]


@pytest.mark.parametrize("foot", ["", "\n1"], ids=["bare", "numbered"])
async def test_a_sentence_that_goes_on_overleaf_is_quoted_to_its_end(shared_engine: Engine, foot: str) -> None:
    pages = [
        f"Sheep graze in the north. The oldest mill of the valley{foot}",
        "was built by Anna Brook. The ferry is blue.",
    ]
    answer = await ask(shared_engine, "Who made the oldest mill of the valley?", *pages)
    assert quotes(answer)[:2] == ["The oldest mill of the valley", "was built by Anna Brook."]


async def test_a_page_that_ends_with_its_sentence_goes_on_nowhere(shared_engine: Engine) -> None:
    pages = [
        "Sheep graze in the north. The oldest mill is in the valley.",
        "was built by Anna Brook. The ferry is blue.",
    ]
    answer = await ask(shared_engine, "Where is the oldest mill of the valley?", *pages)
    assert quotes(answer) == ["The oldest mill is in the valley."]


async def test_of_a_long_list_the_first_lines_are_quoted(shared_engine: Engine) -> None:
    page = "The ferry carries:\n" + "\n".join(f"• goods of class {letter}" for letter in "ABCDEFGH")
    found = quotes(await ask(shared_engine, "What does the ferry carry?", page))
    assert found[0].startswith("The ferry carries: • goods of class A")
    assert found[0].endswith("• goods of class E")


PROSE = "The voltage is given on the back of every mill that was made in Hull and then sold to anybody.\n"
TABLE = "".join(f"{name} 1350 W 4.8 kg $189\n" for name in ("Otter", "Heron", "Mole", "Crane Plus", "Boar", "Lynx"))


@pytest.mark.parametrize(
    ("question", "pages", "expected"),
    [
        (
            "How do I use it for the first time?",
            [f"{PROSE}First use\n1. Rinse the tank. Dry it.\n2. Plug in the mill.\n3. Wait.\nLicence\n{PROSE}"],
            ["First use 1. Rinse the tank. Dry it. 2. Plug in the mill. 3. Wait."],
        ),
        (
            "What should I bring?",
            [f"{PROSE}What should I bring?\nA towel\nClean shoes\nCan I leave?\n{PROSE}"],
            ["What should I bring? A towel Clean shoes"],
        ),
        (
            "How much does the Crane Plus weigh?",
            [f"{PROSE}Model Power Weight Price\n{TABLE}{PROSE}"],
            ["Crane Plus 1350 W 4.8 kg $189", "Model Power Weight Price"],
        ),
        (
            "certificates?",
            [f"{PROSE}Certificates", f"Rope access, 2020.\n{PROSE}"],
            ["Certificates", "Rope access, 2020."],
        ),
        (
            "Who is the author?",
            [f"{PROSE}AUTHOR\nR. D. Tennent\nSEE ALSO\nThe other mills.\n{PROSE}"],
            ["AUTHOR R. D. Tennent"],
        ),
        (
            "When did she work at Halden & Roe?",
            [f"{PROSE}Bridge Engineer, Halden & Roe\nMay to June\nTrainee, Ministry of Works\nJuly\n{PROSE}"],
            ["Bridge Engineer, Halden & Roe May to June"],
        ),
    ],
    ids=["steps", "list below a question", "columns of a row", "label at the foot", "heading", "line of a list"],
)
async def test_lists_tables_and_labels_are_quoted_with_what_belongs_to_them(
    shared_engine: Engine, question: str, pages: list[str], expected: list[str]
) -> None:
    found = quotes(await ask(shared_engine, question, *pages))
    assert [quote[: len(words)] for quote, words in zip(found, expected, strict=False)] == expected


async def test_what_stands_on_several_pages_is_cited_from_the_first(shared_engine: Engine) -> None:
    pages = [
        "The harbour has a crane that two can move. The ferry sails at noon on every working day.",
        "It is blue. The ferry sails at noon on every working day.",
    ]
    answer = await ask(shared_engine, "When does the ferry sail?", *pages)
    assert answer["sources"][0]["page"] == 1


async def test_what_is_said_of_several_is_cited_where_it_is_said_of_the_one_asked_about(shared_engine: Engine) -> None:
    pages = [f"{name} works in the {place}. The salary is 3,000 euros a month." for name, place in STAFF]
    pages += [f"Ship {number} carries timber." for number in range(8)]
    answer = await ask(shared_engine, "What is the salary of Anna Brook?", *pages)
    assert next(source["page"] for source in answer["sources"] if "salary" in source["quote"]) == 3


async def test_a_page_that_has_nothing_to_do_with_the_question_is_no_source(shared_engine: Engine) -> None:
    pages = ["The launch code of Hermes is 4711.", "Cheese tastes good.", "Hermes was built in a yard."]
    answer = await ask(shared_engine, "What is the launch code of Hermes?", *pages)
    assert [source["page"] for source in answer["sources"]] == [1, 3]
