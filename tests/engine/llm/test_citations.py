"""The ways in which an answer says where something stands, and pages that nobody gave it."""

from __future__ import annotations

import time

import pytest

from miva.engine.llm.check import Context
from miva.engine.llm.citations import citations

TEXT = "contract a.pdf\nThe contract ends after 30 days of notice (see page 90). 5 people came."
KNOWN = Context(TEXT, [3, 4, 7], passages=2)
SAID = "The contract ends after 30 days"


@pytest.mark.parametrize(
    "text",
    [
        f"{SAID} [p. 7].",
        f"{SAID} [p. 3, p. 4].",
        f"{SAID} [p. 3; p. 4].",
        f"{SAID} [pp. 3-4], [pp. 3, 4 and 7], [pages 3 and 4], [p. 3, 4], [p.3][p.4], [pp. 3, 4, and 7].",
        f"{SAID} (p. 7).",
        f"{SAID} (pp. 3–4), (pages 3, 4 and 7), (page 7), (Page 7).",
        f"{SAID} [a.pdf, p. 7].",
        f"{SAID} (a.pdf, page 7; a.pdf, p. 4).",
        f"{SAID} [page 3, passage 1].",
        f"As page 7 says, {SAID}.",
        f"Page 7: {SAID}.",
        "On pages 3 and 4, 5 people are named; on page 7, 30 days.",
        f"According to p. 7 and pp. 3-4 and pages 3, 4, and 7, {SAID}.",
        "Passage 1 says so, and passages 1 and 2 do [passage 2].",
        f"{SAID} (see page 90), as page 90 says.",
        f"{SAID} (Seite 7), [S. 7], [Seiten 3 und 4], (página 7), [pág. 7], (стр. 7), 【第7页】 (第 7 ページ).",
        f"{SAID} [p. 3, 30 days], (S. 3f.), [pp. 3ff].",
    ],
)
def test_pages_that_were_given_may_be_cited_in_any_form(text: str) -> None:
    assert KNOWN.unsupported(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{SAID} [p. 8].", ["page 8"]),
        (f"{SAID} [p. 7, p. 8].", ["page 8"]),
        (f"{SAID} [pp. 7-9].", ["page 9"]),
        (f"{SAID} [p. 7, 9].", ["page 9"]),
        (f"{SAID} (p. 30).", ["page 30"]),
        (f"{SAID} [p. 90].", ["page 90"]),
        (f"{SAID} (p. 90).", ["page 90"]),
        (f"{SAID} [a.pdf, p. 8].", ["page 8"]),
        (f"{SAID} [b.pdf by Smith, p. 7].", ["Smith"]),
        (f"{SAID} [p. 7, 60 days].", ["60"]),
        (f"{SAID} [p. 7, passage 3].", ["passage 3"]),
        (f"As page 30 says, {SAID}.", ["page 30"]),
        ("On page 7, 12 people are named.", ["12"]),
        ("On pages 3 and 4, 12 people are named.", ["12"]),
        ("See pages 3, 4 and 8.", ["page 8"]),
        ("Passage 3 says so.", ["passage 3"]),
        (f"{SAID} (第8页).", ["page 8"]),
        (f"{SAID} (1828).", ["1828"]),
    ],
)
def test_what_was_not_given_is_found_in_any_form(text: str, found: list[str]) -> None:
    assert KNOWN.unsupported(text) == found


def test_a_document_without_pages_has_none_to_be_spoken_of() -> None:
    known = Context(TEXT)
    assert known.unsupported(f"{SAID} [p. 4] (p. 4).") == []
    assert known.unsupported(f"As page 4 says, {SAID}.") == ["page 4"]
    assert known.unsupported(f"As page 90 says, {SAID}.") == []


def test_what_is_no_citation_stays() -> None:
    text = "A pagan stepp. 3 of 5 p.m. ships (12 of them) [sic], pages of old, version p. 3.5"
    assert citations(text).rest == text


@pytest.mark.parametrize("unit", ["p. ", "pages 1, ", "(p. 1, ", "[p. 1] ", "(", "[", "page 1-", "第", " ", "pp"])
def test_odd_citations_are_read_in_time(unit: str) -> None:
    began = time.process_time()
    citations("pages " + unit * (200_000 // len(unit)))
    assert time.process_time() - began < 2
