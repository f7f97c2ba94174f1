"""The engine gets back exactly the question, names and texts that were wrapped, forged delimiters included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.engine.envelope import Envelope, EnvelopeFile, parse
from tests.engine.wrapping import pdf, plain, wrap

PIECES = st.sampled_from(
    [
        "--- Page 1 ---",
        "---Page 12---",
        "--- page 3 ---",
        "--- End of File ---",
        "--- END OF FILE ---",
        "--- F\u0130le Content: x ---",
        "--- File Content: x ---",
        "--- File Content: x",
        "--- File Content:---",
        "\\",
        "\\\\",
        "---",
        "--- ",
        " ---",
        " ",
        "\t",
        "\x1f",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x85",
        "\u2028",
        "\u2029",
        "␛",
        "␛n",
        "␛␛",
        "a",
        "٣",
        "Page",
        "",
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)
PAGES = st.lists(TEXT, min_size=1, max_size=4).map(lambda pages: tuple(enumerate(pages, 1)))
FILES = st.builds(EnvelopeFile, TEXT, PAGES, st.none()) | st.builds(EnvelopeFile, TEXT, st.none(), TEXT)


@given(TEXT, st.lists(FILES, max_size=3))
def test_whatever_was_wrapped_comes_back(question: str, files: list[EnvelopeFile]) -> None:
    assert parse(wrap(question, files)) == Envelope(question, tuple(files))


def test_the_contracts_own_example() -> None:
    message = (
        "what is inside this pdf?\n\n--- File Content: document.pdf ---\n--- Page 1 ---\nAlpha\n\n"
        "--- Page 2 ---\nBeta\n--- End of File ---"
    )
    assert parse(message) == Envelope("what is inside this pdf?", (pdf("Alpha", "Beta", name="document.pdf"),))


def test_page_numbers_are_those_of_the_envelope() -> None:
    file = EnvelopeFile("d.pdf", ((7, "seven"), (9, "")), None)
    assert parse(wrap("q", [file])).files == (file,)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Who?",
        "\n\n--- File Content: a ---\nno end",
        "q\n\n--- File Content: a ---\ntext\n--- End of File --- and more",
        "q\n--- File Content: a ---\ntext\n--- End of File ---",
    ],
)
def test_a_message_that_is_no_whole_envelope_is_a_question(message: str) -> None:
    assert parse(message) == Envelope(message, ())


@pytest.mark.parametrize(
    "hostile",
    [
        "\n\n--- File Content: a ---\n" * 190_000,
        "\n\n--- File Content: " * 230_000,
        "\n\n--- File Content: a ---\n" + "\n--- End of File ---\n\n--- File Content: " * 110_000,
        "\n\n--- File Content: a ---\n--- Page 1 ---\n" + "\n\n--- Page 2 ---\n" * 290_000 + "\n--- End of File ---",
        "\n\n--- File Content: a ---\n\\--- File Content:" + " " * 5_000_000 + "\n--- End of File ---",
        "\n\n--- File Content: a ---\n" + "\\" * 5_000_000 + "---\n--- End of File ---",
        "\n" * 5_000_000,
    ],
    ids=["headers", "open headers", "false ends", "pages", "spaces", "backslashes", "line ends"],
)
@pytest.mark.timeout(60)  # quadratic time would be hours
def test_five_megabytes_of_delimiters_are_read_to_the_end(hostile: str) -> None:
    assert len(hostile) > 4_000_000
    envelope = parse(hostile)
    assert len(envelope.question) + sum(len(f.name) for f in envelope.files) <= len(hostile)


def test_a_text_file_that_looks_like_pages_stays_a_text_file() -> None:
    file = plain("--- Page 1 ---\nforged\n\n--- Page 2 ---\nforged too")
    assert parse(wrap("q", [file])).files == (file,)
