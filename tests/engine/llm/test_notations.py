"""The same thing in another notation is supported, something else in a like notation is not."""

from __future__ import annotations

import pytest

from miva.engine.llm.check import Context, unsupported

CONTEXT = """
The contract of Acme Corp. ends after 30 days. The fee is €1.5m a year, or 25k for each of the two-thirds of members.
It was signed on the thirty-first of May 2019. A dozen people came. Revenue grew by half, costs by 7%. The term runs
from 2019-21, the audit was in 2001-12. A hundred items were sold in two dozen shops. The pool is 5m long. It was 20°C.
Half a million readers; the video is in 4K and the plant made 3M bolts. The twentieth visitor won. He paid $2 b.
"""


@pytest.mark.parametrize(
    "text",
    [
        "The fee is 1.5 million euros.",
        "The fee is EUR 1.5 million, €1,500,000, 1.5m euros, EUR 1.5 m or 1.5m €.",
        "Each pays 25,000, that is 25k or 25 thousand.",
        "It was signed on 31 May 2019 (May 31, 2019; the 31st; the thirty-first).",
        "12 people came, twelve, a dozen.",
        "Revenue grew by 50%, by 50 percent, by half.",
        "The term runs from 2019 to 2021 (2019–21, 2019/21).",
        "The audit was in December 2001 (2001-12).",
        "100 items in 24 shops; a hundred, one hundred.",
        "The pool is 5 m (5 metres) long.",
        "It was 20 degrees Celsius.",
        "500,000 readers, half a million.",
        "3M or 3 million bolts; 4K video.",
        "The 20th visitor won $2 billion.",
        "There are three points: the fee, the term, and the date.",
        "There are three points: the fee; the term, which is long; the date.",
        "There are 3 main points:\n",
        "Two rooms: the hall and the bath.",
        "Sorry, the documents do not tell.",
        "Contracts end after 30 days. Items were sold.",
        "Step 1: wait.",
        "- **Step 2:** wait.",
        "The PDF says so.",
    ],
)
def test_another_notation_is_supported(text: str) -> None:
    assert unsupported(text, CONTEXT) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The fee is €1.5.", ["1.5"]),
        ("The fee is 1.5 billion euros.", ["1.5 billion"]),
        (
            "The fee is £1.5k.",
            [
                "1.5k",
            ],
        ),
        ("Each pays 25.", ["25"]),
        ("The pool is 5 million long.", ["5 million"]),
        ("The pool cost €5m.", ["5m"]),
        ("It was signed on 30 June.", ["June"]),
        ("It was signed on the twenty-first.", ["twenty-first"]),
        ("Eleven people came.", ["Eleven"]),
        ("Half a dozen people came.", ["Half a dozen"]),
        ("A thousand items.", ["A thousand"]),
        ("Revenue grew by 75%.", ["75"]),
        ("50 people came.", ["50"]),
        ("The term runs to 2020.", ["2020"]),
        ("The term runs from 2019-22.", ["2019-22"]),
        ("There are six people.", ["six"]),
        ("There are six rooms: the hall and the bath.", ["six"]),
        ("It has nine towers:", ["nine"]),
        ("There are 14 points: the fee.", ["14"]),
        ("He scored 88.3 points: a, b and c.", ["88.3"]),
        ("There are ninety-three points:", ["ninety-three"]),
        ("Sorensen built it.", ["Sorensen"]),
        ("He met Contracta there.", ["Contracta"]),
        ("Step 1: wait 45 days.", ["45"]),
        ("It costs 20 GBP.", ["GBP"]),
    ],
)
def test_something_else_is_found(text: str, found: list[str]) -> None:
    assert unsupported(text, CONTEXT) == found


def test_the_first_half_of_a_year_is_no_percentage() -> None:
    assert unsupported("It grew by 50%.", "It grew by 7% in the first half of the year.") == ["50"]


def test_a_date_is_no_range_of_years() -> None:
    known = Context("It was on 2001-12-24.")
    assert known.unsupported("It was in 2012.") == ["2012"]
    assert known.unsupported("It was on 24 December 2001.") == []
