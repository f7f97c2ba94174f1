"""Answers as HTML: Markdown where the engine wrote it, and none in the words of documents."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.rendering import to_html

NAME = "__init__ *v2* `x`.txt"
QUOTE = "See ![Figure 3](fig3.png): __init__ calls *args, 5 <b>euros</b> &amp; a | b # c \\* 1~2."


def shown(made: str) -> str:
    """What a reader sees of the HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", made))


def test_a_sources_words_stand_as_they_are_and_the_engines_are_markdown() -> None:
    answer = f"From {NAME} (**read** `today`):\n\n- “{QUOTE}” (page 3)"
    made = to_html(answer, [{"name": NAME, "quote": QUOTE, "page": 3}])
    assert f"“{QUOTE}” (page 3)" in shown(made)
    assert NAME in shown(made)
    assert "<strong>read</strong> <code>today</code>" in made
    assert to_html(answer) != made, "else this says nothing"


@pytest.mark.parametrize(
    "source", [{}, {"name": None, "quote": 7}, {"name": "", "quote": "*"}, {"quote": "not there *"}]
)
def test_sources_that_say_nothing_change_nothing(source: dict[str, object]) -> None:
    assert to_html("*one* and **two**", [source]) == "<p><em>one</em> and <strong>two</strong></p>"


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=3).filter(lambda text: text.strip() == text)
)
def test_any_line_can_be_quoted(quote: str) -> None:
    made = to_html(f"It says: “{quote}”.", [{"quote": quote}])
    assert shown(made) == f"It says: “{quote}”."
