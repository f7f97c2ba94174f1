"""Pieces of a stream made into whole sentences."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.engine.llm.sentences import LONGEST, is_whole, sentences, split

prose = st.text(alphabet=st.sampled_from("aB1 .!?\n[]p。灯\"'é,-"), max_size=200)


async def pieces_of(text: str, cuts: list[int]) -> AsyncGenerator[str, None]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    for start, end in itertools.pairwise(places):
        yield text[start:end]


async def taken(stream: AsyncIterator[str]) -> list[str]:
    return [sentence async for sentence in sentences(stream)]


@given(prose, st.lists(st.integers(0, 200), max_size=20))
async def test_no_text_is_lost_however_it_was_cut(text: str, cuts: list[int]) -> None:
    assert "".join(await taken(pieces_of(text, cuts))) == text
    assert "".join(split(text)) == text
    assert all(split(text))


@given(
    st.lists(
        st.sampled_from(["It is 19.3 m. ", "Built by K. F. S. in 1827! [p. 3] ", "Why?\n", "高19米。"]), max_size=9
    )
)
async def test_letter_by_letter_it_is_the_same_sentences(parts: list[str]) -> None:
    text = "".join(parts)
    assert await taken(pieces_of(text, list(range(len(text))))) == split(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is high. It is old.", ["It is high. ", "It is old."]),
        ("It is 19.3 m high. See p. 4 and Fig. 2, e.g. here. Yes.", None),
        ("Built by K. F. Schinkel and Dr. Weiß. Then sold.", ["Built by K. F. Schinkel and Dr. Weiß. ", "Then sold."]),
        ("It is high. [p. 3] It is old [p. 4].", ["It is high. [p. 3] ", "It is old [p. 4]."]),
        ("1. One thing.\n2. Two things\n- three", ["1. One thing.\n", "2. Two things\n", "- three"]),
        ("灯塔高19米。建于1827年。[p. 3]完", ["灯塔高19米。", "建于1827年。[p. 3]", "完"]),
        ("Really?! “Yes.” Then left.", ["Really?! ", "“Yes.” ", "Then left."]),
        ("It cost approx. five. he said", ["It cost approx. five. he said"]),
        ("\n\nHello.\n\n\nYou.\n", ["\n\nHello.\n\n\n", "You.\n"]),
        ("", []),
    ],
)
def test_where_sentences_end(text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = ["It is 19.3 m high. ", "See p. 4 and Fig. 2, e.g. here. ", "Yes."]
    assert split(text) == expected


async def test_a_sentence_is_given_out_as_soon_as_the_next_begins() -> None:
    seen: list[str] = []

    async def stream() -> AsyncGenerator[str, None]:
        yield "One. "
        assert seen == []
        yield "T"
        assert seen == ["One. "]
        yield "wo."

    async for sentence in sentences(stream()):
        seen.append(sentence)
    assert seen == ["One. ", "Two."]


@pytest.mark.parametrize(
    "unit",
    ["word ", "x", ". ", "[", ".\n", ".", "。", "!?…", "\n", "\r\n", " ", "x\t\n", ". [a]", ".)", ".  [", "a\u00a0\n "],
)
def test_a_text_without_sense_is_bounded_and_quick(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    found = split(text)
    assert time.process_time() - began < 2, "200,000 dots took 6 seconds where a run was read from each of its dots"
    assert "".join(found) == text
    assert max(map(len, found)) <= LONGEST + 250


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It is.", True),
        ("It is. [p. 3]\n", True),
        ("高。", True),
        ("It is**.**", True),
        ("It is Schin", False),
        ("", False),
    ],
)
def test_whether_a_sentence_has_come_to_its_end(text: str, whole: bool) -> None:
    assert is_whole(text) is whole
