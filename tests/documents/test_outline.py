"""A PDF's bookmarks are its outline, bounded and checked; what fails behind the last page costs no text."""

from __future__ import annotations

from typing import Any

import pytest

from miva.documents import outline, store
from miva.documents.slot import Slot
from miva.protocol import errors
from tests.documents.test_reader import read
from tests.pdfs import make_pdf

OUTLINE = [
    (0, "Part One", 1),
    (1, "Chapter ä – 1", 1),
    (1, "Chapter 2", 2),
    (2, "Deep", 2),
    (3, "Deeper", 2),
    (0, "II", 3),
]


async def test_bookmarks_that_lead_to_a_page_are_the_outline(reader: Any) -> None:
    reading = await read(reader, make_pdf(["a", "b", "c"], outline=[*OUTLINE, (0, " \n ", 1), (0, "nowhere", 9)]))
    assert list(reading.outline) == [mark for mark in OUTLINE if mark[0] < 3]
    store.empty_cache()
    assert reader.known(reading.sha256) == reading


async def test_an_outline_is_bounded_and_may_go_in_circles(reader: Any) -> None:
    many = [(number % 2, f"Chapter {number} " + "x" * 500, 1) for number in range(2000)]
    reading = await read(reader, make_pdf(["text"], outline=many))
    assert len(reading.outline) == outline.MOST
    assert max(len(mark.title) for mark in reading.outline) == outline.LONGEST_TITLE
    round_about = make_pdf(["text"], outline=[(0, "One", 1), (0, "Two", 1)]).replace(b"/Prev", b"/Next")
    assert (await read(reader, round_about)).pages == ("text",)


async def test_what_fails_behind_the_last_page_costs_no_text(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Slot.run

    def crash_at_the_end(self: Slot, *how: Any) -> Any:
        run(self, *how)
        raise errors.BrokenPdf

    monkeypatch.setattr(Slot, "run", crash_at_the_end)
    reading = await read(reader, make_pdf(["one", "two"], outline=OUTLINE[:2]))
    assert (reading.pages, reading.outline, reading.extractor) == (("one", "two"), (), "pdfium")


@pytest.mark.parametrize(
    "said",
    [None, {}, "outline", [None], [[]], [[0, "a"]], [[0, "a", 1, 2]], [[-1, "a", 1]], [[3, "a", 1]], [[0, "a", 0]],
     [[0, "", 1]], [[0, "a\nb", 1]], [[0, 7, 1]], [[True, "a", 1]], [[0, "a", 1.0]], [[0, "x" * 201, 1]]],
)  # fmt: skip
def test_what_is_no_bookmark_is_left_out(said: Any) -> None:
    assert outline.bookmarks(said) == ()
    if isinstance(said, list):
        assert outline.bookmarks([*said, [2, "Right", 7]]) == ((2, "Right", 7),)
