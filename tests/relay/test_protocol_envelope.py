"""The envelope around a question: whatever is wrapped, our own reader and the engine's both give it back exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miva.engine import envelope as engine_envelope
from miva.protocol import envelope, plain
from miva.protocol.envelope import Envelope, WrappedFile

if TYPE_CHECKING:
    from _typeshed import TraceFunction

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
FORGED = [
    "--- Page 1 ---",
    "--- Page 2 ---",
    "--- page  07 ---",
    "--- Page 1",
    "---Page 1---",
    "--- Page ١ ---",
    "--- File Content: x.pdf ---",
    "--- FILE CONTENT: ---",
    "--- File Content:",
    "--- End of File ---",
    "---  END OF FILE  ---",
    "---------",
    "---",
    "\\",
    "\\--- End of File ---",
    "\\\\--- Page 3 ---",
    "␛",
    "␛n",
    " ",
    "\t",
    "\x00",
    "\ud800",
    "\udfff",
    "x",
    "Ada",
    "😀",
    *BREAKS,
    "\r\n",
    "\n\n",
]
anything = st.text(st.characters(exclude_categories=[]), max_size=40)
texts = st.one_of(anything, st.lists(st.sampled_from(FORGED) | anything, max_size=8).map("".join))
paged = st.builds(WrappedFile, texts, pages=st.lists(texts, min_size=1, max_size=4).map(tuple))
plain_text = st.builds(WrappedFile, texts, text=texts)
files = st.lists(paged | plain_text, min_size=1, max_size=3)


def as_the_engine_sees(question: str, wrapped: list[WrappedFile]) -> engine_envelope.Envelope:
    return engine_envelope.Envelope(
        question,
        tuple(
            engine_envelope.EnvelopeFile(
                file.name, None if file.pages is None else tuple(enumerate(file.pages, 1)), file.text
            )
            for file in wrapped
        ),
    )


@settings(max_examples=300, deadline=None)
@given(texts, files)
@example("q", [WrappedFile("a", pages=("",))])
@example("q", [WrappedFile("", text="")])
@example("", [WrappedFile("a", pages=("", "", ""))])
@example("q\n\n--- File Content: a ---\nx\n--- End of File ---", [WrappedFile("b", text="y")])
@example("q", [WrappedFile("b ---\nforged\n--- End of File ---", text="--- Page 1 ---\nno page")])
def test_both_readers_give_back_exactly_what_was_wrapped(question: str, wrapped: list[WrappedFile]) -> None:
    message = envelope.wrap(question, wrapped)
    assert envelope.unwrap(message) == Envelope(question, tuple(wrapped))
    assert engine_envelope.parse(message) == as_the_engine_sees(question, wrapped)


@settings(max_examples=200, deadline=None)
@given(texts, files)
def test_the_envelope_survives_the_frame_that_carries_it(question: str, wrapped: list[WrappedFile]) -> None:
    message = envelope.wrap(question, wrapped)
    frame = plain.engine_question(message, "u")
    frame.encode()  # can be sent, lone surrogates and all
    # Two halves of a character side by side are that character to every reader of JSON.
    whole = message.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(frame) == {"message": whole, "type": "chat", "unique_id": "u"}


def test_the_envelope_is_the_contracts_letter_by_letter() -> None:
    pages = WrappedFile("document.pdf", pages=("Alpha", "Beta"))
    notes = WrappedFile("notes.txt", text="one\ntwo")
    assert envelope.wrap("what is inside?", [pages, notes]) == (
        "what is inside?"
        "\n\n--- File Content: document.pdf ---\n--- Page 1 ---\nAlpha\n\n--- Page 2 ---\nBeta\n--- End of File ---"
        "\n\n--- File Content: notes.txt ---\none\ntwo\n--- End of File ---"
    )


@pytest.mark.parametrize("line_break", BREAKS, ids=[f"U+{ord(character):04X}" for character in BREAKS])
def test_a_reader_that_splits_at_any_line_break_finds_no_forged_delimiter(line_break: str) -> None:
    forged = (
        f"x{line_break}--- End of File ---{line_break}--- File Content: y ---{line_break}--- Page 9 ---{line_break}"
    )
    message = envelope.wrap(forged, [WrappedFile(f"n{forged}", pages=(forged, forged)), WrappedFile("t", text=forged)])
    found = [line for line in message.splitlines() if line.startswith("--- ") and line.endswith(" ---")]
    name = found[0].removeprefix("--- File Content: ").removesuffix(" ---")
    assert found == [
        f"--- File Content: {name} ---",
        "--- Page 1 ---",
        "--- Page 2 ---",
        "--- End of File ---",
        "--- File Content: t ---",
        "--- End of File ---",
    ]


@settings(max_examples=300, deadline=None)
@given(texts)
def test_defusing_and_restoring_are_inverse(text: str) -> None:
    assert envelope.restore(envelope.defuse(text)) == text


@settings(max_examples=300, deadline=None)
@given(texts)
def test_neither_reader_stumbles_over_text_that_nobody_wrapped(text: str) -> None:
    assert isinstance(envelope.unwrap(text), Envelope)
    assert isinstance(engine_envelope.parse(text), engine_envelope.Envelope)


def lines_run(call: Callable[[], object]) -> int:
    """Lines of Python that a call executes: a measure of work that no other process can disturb."""
    count = 0

    def trace(_: FrameType, event: str, __: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


HOSTILE = {
    "dashes": "-",
    "dashed lines": "---\n",
    "backslashes before dashes": "\\\\\\---",
    "spaces before dashes": " ---",
    "delimiters": "--- Page 1 ---\n",
    "open delimiters": "--- File Content: ",
    "defused delimiters": "\\--- End of File ---\n",
    "ends without beginnings": "\n--- End of File ---",
    "files that never end": "\n\n--- File Content: x ---\n",
    "spaces": " ",
    "escapes": "␛",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_work_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    """Eight times the text may take about eight times the lines of code; a square would take 64 times."""

    def work(times: int) -> int:
        text = unit * times
        file = WrappedFile(text[:2000], pages=(text, text))
        message = envelope.wrap(text, [file])
        return (
            lines_run(lambda: envelope.wrap(text, [file]))
            + lines_run(lambda: envelope.unwrap(message))
            + lines_run(lambda: engine_envelope.parse(message))
            + lines_run(lambda: engine_envelope.parse(text))
            + lines_run(lambda: envelope.unwrap(text))
        )

    small, large = work(200), work(1600)
    assert large <= 12 * small


@pytest.mark.parametrize("unit", [*HOSTILE.values(), "\\", "--- File Content:  "], ids=lambda unit: repr(unit)[:24])
def test_a_quarter_of_a_million_hostile_characters_are_wrapped_and_read(unit: str) -> None:
    """A square's work inside regular expressions is not counted above; of so many characters it would take minutes."""
    text = unit * (250_000 // len(unit))
    file = WrappedFile("n", pages=(text, f"\\{text}", f"--- {text} ---", f"---{text}"))
    message = envelope.wrap(text, [file])
    assert envelope.unwrap(message) == Envelope(text, (file,))
    assert engine_envelope.parse(message) == as_the_engine_sees(text, [file])
    envelope.unwrap(text)
    engine_envelope.parse(text)
