"""Sentences and chunks keep their place on the page, whatever is on it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from miva.engine.passages import CHUNK_TOKENS, chunks, edges, sentences
from miva.engine.text import count_tokens

PIECES = st.sampled_from(
    [
        "A sentence. ",
        "No. 5 is Dr. J. Smith! ",
        "\n",
        "\n\n",
        "HEADING\n",
        "• item ",
        "12\n",
        "漢字。",
        "...",
        "?! ",
        "x" * 300,
        "\r\n",
        " ",
        "1. ",
    ]
)
PAGES = st.lists(PIECES | st.text(max_size=20), max_size=60).map("".join)


def texts(page: str) -> list[str]:
    return [page[s.start : s.end] for s in sentences(page)]


def is_drawn(line: str) -> bool:
    signs = set(line) - {" "}
    return len(line) > 2 and line[0] in "-_=*~.·•+#|‐‑‒–—―…" and len(signs) <= 2 and not any(map(str.isalnum, line))


@given(PAGES)
def test_sentences_are_in_order_and_none_is_longer_than_a_chunk(page: str) -> None:
    at = 0
    for sentence in sentences(page):
        text = page[sentence.start : sentence.end]
        assert at <= sentence.start < sentence.end <= len(page)
        assert text == text.strip()
        assert count_tokens(text) <= CHUNK_TOKENS
        at = sentence.end


@given(PAGES)
def test_nothing_but_page_numbers_drawn_lines_and_space_is_left_out(page: str) -> None:
    kept = "".join("".join(texts(page)).split())
    lines = [line.strip() for line in page.splitlines() if line.strip() and not is_drawn(line.strip())]
    whole = "".join("".join(lines).split())
    allowed = {whole}
    if len(lines) > 1:
        first, last = len("".join(lines[0].split())), len("".join(lines[-1].split()))
        allowed |= {whole[first:], whole[: len(whole) - last], whole[first : len(whole) - last]}
    assert kept in allowed


@given(PAGES)
def test_chunks_cover_every_sentence_and_overlap_by_at_most_one(page: str) -> None:
    found = sentences(page)
    made = chunks(page, found)
    assert sorted({i for c in made for i in range(c.first, c.last + 1)}) == list(range(len(found)))
    for one, two in pairwise(made):
        assert one.first < two.first
        assert two.first in (one.last, one.last + 1)
        assert two.last > one.last
    for chunk in made:
        total = sum(count_tokens(page[s.start : s.end]) for s in found[chunk.first : chunk.last + 1])
        assert total <= CHUNK_TOKENS


def test_a_german_ordinal_number_ends_no_sentence() -> None:
    page = (
        "Er kam am 4. Mai 1921, im 2. Stock\ndes Hauses, zur Welt. Es war Zimmer 4. Am 19. Dezember zog er um. "
        "Danach: 3. März."
    )
    assert texts(page) == [
        "Er kam am 4. Mai 1921, im 2. Stock\ndes Hauses, zur Welt.",
        "Es war Zimmer 4.",
        "Am 19. Dezember zog er um.",
        "Danach: 3. März.",
    ]
    assert texts("They came in 1914. May was cold. It was page 4. The rest is lost.") == [
        "They came in 1914.",
        "May was cold.",
        "It was page 4.",
        "The rest is lost.",
    ]


def test_abbreviations_initials_and_wrapped_lines_end_no_sentence() -> None:
    page = "Dr. J. Smith met Mr. Poe at No. 5,\ni.e. at home. They spoke of the U.S. economy! Why? Nobody\nknows."
    assert texts(page) == [
        "Dr. J. Smith met Mr. Poe at No. 5,\ni.e. at home.",
        "They spoke of the U.S. economy!",
        "Why?",
        "Nobody\nknows.",
    ]


def test_headings_stand_alone_and_page_numbers_are_dropped() -> None:
    page = "7\nMethods\nWe measured the river every day for a whole long year, in rain and in\nsnow.\n2.1 Results\nUp."
    assert [(page[s.start : s.end], s.heading) for s in sentences(page)] == [
        ("Methods", True),
        ("We measured the river every day for a whole long year, in rain and in\nsnow.", False),
        ("2.1 Results", True),
        ("Up.", False),
    ]


def test_a_page_that_is_only_a_number_keeps_it() -> None:
    assert texts("42") == ["42"]


def test_titles_with_years_are_headings_and_lines_of_a_form_are_not() -> None:
    """A line of running text that begins with a word and a colon goes on in its sentence."""
    prose = "The society has told its members and all others who asked what it found in the river this year, and the"
    page = (
        f"Budget 2019-2021\n\nChapter 3: 2019 Results\n\nReport: 2019\n\n{prose}\n"
        f"Ministry of Rivers: it has asked for the same, and for a second look at the nets of the lower valley.\n\n"
        "Phone: +44 20 7946 0018\nFax: 123\nAuthor: Ruth Hansen\n\nIt ends here."
    )
    found = [(page[s.start : s.end].replace("\n", " "), s.heading) for s in sentences(page)]
    assert [text for text, heading in found if heading] == [
        "Budget 2019-2021",
        "Chapter 3: 2019 Results",
        "Report: 2019",
    ]
    assert [text for text, heading in found if not heading][1:4] == [
        "Phone: +44 20 7946 0018",
        "Fax: 123",
        "Author: Ruth Hansen",
    ]
    assert any(text.startswith(prose + " Ministry of Rivers: it has") for text, _ in found)


def test_what_counts_the_points_of_a_list_ends_no_sentence() -> None:
    page = (
        "1. Why is this needed?\nThe river is low. It was so in 1951.\n2.1. Boats are dear.\n\nIV. Nets are cheap.\n\n"
        "a) Oars are old.\n•\nA bullet may stand alone.\nBTW-nr. NL42 and Tel. 12 stand here. So it ends."
    )
    assert texts(page) == [
        "1. Why is this needed?",
        "The river is low.",
        "It was so in 1951.",
        "2.1. Boats are dear.",
        "IV. Nets are cheap.",
        "a) Oars are old.",
        "•\nA bullet may stand alone.",
        "BTW-nr. NL42 and Tel. 12 stand here.",
        "So it ends.",
    ]


def test_a_long_passage_is_cut_at_the_end_of_a_line_or_between_words_or_where_it_must() -> None:
    row = "Fixed rate for 3 years 1,394.25 and 5.25%"
    cut = texts("\n".join([row.lower()] * 40))
    assert len(cut) > 1
    assert all(piece.startswith("fixed") and piece.endswith("5.25%") for piece in cut)
    words = texts("river " + "1,394.25 " * 200)
    assert len(words) > 1
    assert {word for piece in words for word in piece.split()} == {"river", "1,394.25"}
    assert "".join(texts("x" * 5000)) == "x" * 5000


def test_a_line_of_signs_and_rows_of_figures_stand_apart() -> None:
    """A line of running text that ends in figures goes on in small letters."""
    page = (
        "The order was for two boats and a net of forty metres\n________________\nNet 534,87\nFreight 19,95\n- - - -\n"
        "Total 554,82\nViridian Line of Credit and no other kind\n3.94% 4.39% –\nResidential Equity Rate 6.53% –\n"
        "Boats were cheaper in 1951 and in 1952\nthan ever since. They were of oak, 20 in 1961, 30 in 1971\nAnd so on."
    )
    assert texts(page) == [
        "The order was for two boats and a net of forty metres",
        "Net 534,87",
        "Freight 19,95",
        "Total 554,82",
        "Viridian Line of Credit and no other kind\n3.94% 4.39% –",
        "Residential Equity Rate 6.53% –",
        "Boats were cheaper in 1951 and in 1952\nthan ever since.",
        "They were of oak, 20 in 1961, 30 in 1971\nAnd so on.",
    ]


def test_a_line_that_was_not_wrapped_ends_what_it_says() -> None:
    """Lines that were wrapped go on, whatever letter the next one begins with, and in a narrow column, too."""
    wrapped = [
        "The crane was built for the harbour in the year that the mill burnt down, when Anna\n"
        "Brook was the captain of the ferry, and it was sold to the yard in the north by her\nSon.",
        "Present: Ruth Adeyemi (chair), Dolores Pike, Hamid Rahimi, Jo Tennant, Colin Marsh\n(treasurer), Jo Tennant",
    ]
    items = ["A towel", "Clean indoor shoes", "Your card"]
    points = [
        "The ferry sails if:",
        "the wind is weak;",
        "no ice is on the upper or on the lower part of the river, and none on the lake.",
    ]
    assert texts("\n".join([wrapped[0], *items, *points, wrapped[1]])) == [wrapped[0], *items, *points, wrapped[1]]
    rows = [
        "Task Who When",
        "Print posters (two) Jo Tennant 10 June",
        "Mow the lawn Colin 1 July",
        "Pay the rent Ruth 2 May",
    ]
    assert texts("\n".join(rows)) == rows
    narrow = "Richard Henderson is an\neconomist in the Division\nof Industry Employment\nProjections in Hull."
    assert texts(f"A long line of the same page stands here, to its very end.\n\n{narrow}")[1:] == [narrow]


def headings(page: str, edges_before: frozenset[str] = frozenset()) -> list[str]:
    return [page[s.start : s.end] for s in sentences(page, edges_before) if s.heading]


def test_running_heads_and_feet_stand_alone() -> None:
    """By their looks, or because the pages before had them as well."""
    text = "and the boats that were in the river that\nyear were old. They had no sails, and the\nnets were new"
    for edge in ("The River's Agreement Page 2", "Rapport Pagina 2 / 12", "THE RIVER AND ITS BOATS. 53"):
        assert texts(f"{edge}\n{text}")[0] == texts(f"{text}\n{edge}")[-1] == edge
        assert headings(f"{edge}\n{text}") == headings(f"{text}\n{edge}") == [edge]
    feet = [f"{text}\nThe society and its long river in 2019, volume {number}" for number in (6, 7)]
    assert headings(feet[1]) == []
    assert headings(feet[1], edges(feet[0])) == ["The society and its long river in 2019, volume 7"]
    assert headings("The total was\nspent on boats\nin the year 1951") == []


def test_cells_and_formulas_are_no_headings() -> None:
    prose = "The society has told its members what it found in the river this year, and where it was found."
    cells = "Boats\nNets\nOars\nSails"
    assert headings(f"{prose}\n{cells}\n{prose}") == []
    assert headings(f"{prose}\n{cells}\n2.1 Results\n{prose}") == ["2.1 Results"]
    assert headings(f"A Year on the River\n{cells}\n{prose}\n{prose}") == ["A Year on the River"]
    assert headings(f"{prose}\nBoats\nNets\nOars\n{prose}") == ["Boats", "Nets", "Oars"]
    for line in (
        "V(a) = IDF(w)",
        "My son, it is the mist. —",
        "Will you come, boy?“ —",
        "Rate* 3.84%",
        "A loan (4 years",
    ):
        assert headings(f"{prose}\n{line}\n{prose}") == []
