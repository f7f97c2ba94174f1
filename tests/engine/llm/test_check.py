"""Numbers and names that stand nowhere in what an answer was made from."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from miva.engine.llm.check import Context, unsupported

CONTEXT = """
The lighthouse at Kap Arkona was built in 1827 by Karl Friedrich Schinkel. It is 19.3 metres high and cost 2,500
thalers. In 2019, 45 percent of the 1.2 million visitors came from Germany. The World Health Organization praised it on
2020-03-05. Three ships carried €1.234.567,89 and 12 000 bottles of H2O in the nineteenth century to the U.S. base.
"""


@pytest.mark.parametrize(
    "text",
    [
        "It was built in 1827 by Schinkel.",
        "Schinkel's lighthouse cost 2500, that is 2 500 or 2.500 thalers.",
        "It is 19,3 m (19.30 m) high.",
        "45% of the 1,200,000 visitors were Germans.",
        "45 per cent of 1.2 million.",
        "The WHO praised it on 5 March 2020.",
        "3 ships carried 12,000 bottles worth 1,234,567.89 euros.",
        "In the 19th century ships brought H2O to the US.",
        "1. The lighthouse\n2. The ships",
        "(1) **Kap Arkona**: one of the sights.",
        "However, the documents do not tell. Unfortunately, Passage and Section say nothing.",
        "Die Höhe des Turms ist 19,3 m und das Wasser ist in den Flaschen und auf den Schiffen.",
        "灯塔建于1827年，高19.3米，有120万游客。",
        "",
    ],
)
def test_what_stands_there_is_supported(text: str) -> None:
    assert unsupported(text, CONTEXT) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It was built in 1828.", ["1828"]),
        ("It is 19.4 metres high.", ["19.4"]),
        ("It is 193 metres high.", ["193"]),
        ("It cost 25,000 thalers.", ["25,000"]),
        ("It cost 500 thalers.", ["500"]),
        ("Of the visitors 54% were Germans.", ["54"]),
        ("1.2 billion visitors came.", ["1.2 billion"]),
        ("45 million visitors came.", ["45 million"]),
        ("Four ships came.", ["Four"]),
        ("Twenty-one ships came.", ["Twenty-one"]),
        ("It was built by Albert Einstein.", ["Albert", "Einstein"]),
        ("Einstein built it.", ["Einstein"]),
        ("It stands in the park of Sanssouci.", ["Sanssouci"]),
        ("NATO praised it.", ["NATO"]),
        ("It holds CO2.", ["CO2"]),
        ("Das Haus ist von Max Müller und der Turm ist für die NATO.", ["Muller", "NATO"]),
        ("灯塔建于1828年。", ["1828"]),
        ("It is “Marlene” that he called it.", ["Marlene"]),
        ("The name:\n- Marlene", ["Marlene"]),
        ("**Marlene** built it.", ["Marlene"]),
        ("١٢٣ ships came.", ["١٢٣"]),
    ],
)
def test_what_stands_nowhere_is_found(text: str, found: list[str]) -> None:
    assert unsupported(text, CONTEXT) == found


def test_a_percentage_needs_a_text_that_speaks_of_percentages() -> None:
    assert unsupported("It was 45%.", "There were 45 people.") == ["45"]
    assert unsupported("It was 45%.", "Share (%): 45") == []


def test_only_pages_that_were_given_may_be_cited() -> None:
    known = Context(CONTEXT, [3, 12])
    assert known.unsupported("It is high [p. 3], [p. 12], [pp. 3, 12] and [page 3].") == []
    assert known.unsupported("It is high [p. 4] and old [pp. 3-5].") == ["page 4", "page 5"]


def test_without_pages_a_citation_is_no_number_either() -> None:
    assert unsupported("It is high [p. 4].", CONTEXT) == []


def test_common_words_in_capitals_are_names_where_they_are_names() -> None:
    assert unsupported("The US and the WHO agreed.", "Who agreed with us?") == ["US", "WHO"]
    assert unsupported("The US agreed.", "It was the United States that agreed.") == []


@given(st.integers(0, 10**9), st.sampled_from([",", ".", "\u00a0", "\u202f", "'", ""]))
def test_a_whole_number_is_the_same_in_any_notation(number: int, mark: str) -> None:
    grouped = f"{number:,}".replace(",", mark)
    assert unsupported(f"It is {grouped} or {number}.", f"There were {number} of them.") == []
    assert unsupported(f"It is {number}.", f"There were {grouped} of them.") == []
    assert unsupported(f"It is {number + 1}.", f"There were {grouped} of them.") == [str(number + 1)]


@given(st.text())
@example("1BÑ")
def test_a_text_supports_itself(text: str) -> None:
    assert unsupported(text, text) == []


@pytest.mark.parametrize("unit", ["1", "1,", "1.000", "1 ", "Ab", "A-", "A.", "[p. 1", "one hundred ", "million ", "*"])
def test_odd_text_is_read_in_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert isinstance(unsupported(text, "nothing of the kind"), list)
    assert unsupported("It is.", text) == []


def test_numbers_without_measure_are_read_all_the_same() -> None:
    scaled = "5 " + "million " * 990
    assert unsupported(f"It is {scaled}", f"Is it {scaled}?") == []
    assert unsupported("It is 5.", scaled) == ["5"]
    assert unsupported("It is two hundred thousand million.", "It is 200,000,000,000.") == []
    digits = "1" * 1_000_001
    assert unsupported(f"It is {digits} million", f"There are {digits} million") == []
    assert unsupported("It is 5.", f"{digits}.5 million") == ["5"]


def test_a_made_up_number_or_name_is_found_in_any_place() -> None:
    dice = random.Random(5)
    plain = "the tower was built by people who came from far and it stands on the cape"
    words = plain.split()
    missed = []
    for _ in range(300):
        said = words[:]
        said.insert(dice.randrange(len(words)), dice.choice(["Zorbak", "8714", "XQZ", "Marlene"]))
        if not unsupported(" ".join(said) + ".", CONTEXT):
            missed.append(said)
    assert missed == []
