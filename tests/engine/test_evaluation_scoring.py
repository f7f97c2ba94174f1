"""The scorer of `make eval`: a hit is a hit, a miss is a miss, and a false quote does not pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.evaluation import chunking, questions, scoring
from benchmarks.evaluation.asking import Asked, Outcome, Phase, Taken
from benchmarks.evaluation.prompts import passages
from benchmarks.evaluation.questions import EvaluationSet, Question
from benchmarks.evaluation.rows import Hits, Row
from benchmarks.evaluation.scoring import Said, Source
from benchmarks.evaluation.verdicts import of_questions

PAGES = ["The first page.\nIt tells of\n a lamp.", "The second page tells of 1,905 ships."]
PLACES = [("a.pdf", 3), ("a.pdf", 1), ("b.pdf", 2), ("a.pdf", 2)]


@pytest.mark.parametrize(
    ("file", "pages", "first", "is_hit"),
    [
        ("a.pdf", [3], 1, True),
        ("a.pdf", [1], 1, False),
        ("a.pdf", [1], 3, True),
        ("a.pdf", [2], 3, False),  # page 2 of b.pdf is there, but that is another file
        ("a.pdf", [2], 5, True),
        ("b.pdf", [1, 2], 3, True),
        ("b.pdf", [3], 5, False),
    ],
)
def test_a_page_counts_when_it_is_among_the_first(file: str, pages: list[int], first: int, is_hit: bool) -> None:
    assert scoring.page_hit(PLACES, file, pages, first) is is_hit


def test_without_sources_no_page_is_hit() -> None:
    assert not scoring.page_hit([], "a.pdf", [1], 5)
    assert not scoring.page_hit([("a.pdf", None)], "a.pdf", [1], 5)


@pytest.mark.parametrize(
    ("text", "answers", "is_there", "as_words"),
    [
        ("It was the Steam-Engine.", ["a steam engine"], True, True),
        ("It was lit in 1905.", ["1904", "1905"], True, True),
        ("It was lit in 1943.", ["4"], True, False),
        ("He was British", ["french"], False, False),
        ("", ["anything"], False, False),
        ("Whatever it says", ["the", "—"], False, False),  # nothing is left of such an answer: no text contains it
        ("1763–1775", ["1763-1775"], True, True),
        ("Das Café", ["café"], True, True),
    ],
)
def test_an_answer_is_found_or_is_not(text: str, answers: list[str], is_there: bool, as_words: bool) -> None:
    assert scoring.contains(text, answers) is is_there
    assert scoring.contains_words(text, answers) is as_words


def test_a_refusal_begins_the_answer() -> None:
    assert scoring.refuses("I did not find this in a.pdf; the closest passages are: …")
    assert not scoring.refuses("The document says: “I did not find this”.")
    assert not scoring.refuses("")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source("a.pdf", 1, "It tells of a lamp."), ""),
        (Source("a.pdf", 2, "1,905 ships", 25, 36), ""),
        (Source("a.pdf", 1, "tells of a lamp.", 19, 36), ""),
        (Source("a.pdf", None, "It tells of a lamp."), ""),
        (Source("a.pdf", 2, "It tells of a lamp."), "does not hold"),
        (Source("a.pdf", 3, "It tells of a lamp."), "no page 3"),
        (Source("a.pdf", 0, "It tells of a lamp."), "no page 0"),
        (Source("a.pdf", 1, "It tells of the lamp."), "does not hold"),
        (Source("a.pdf", 1, " "), "empty"),
        (Source("a.pdf", 2, "1,905 ships", 24, 36), "are not the quote"),
        (Source("a.pdf", 2, "1,905 ships", 25, 3600), "are not the quote"),
        (Source("a.pdf", 2, "1,905 ships", 25), "only one"),
        (Source("a.pdf", None, "It tells of ships."), "does not hold"),
    ],
)
def test_a_quote_stands_where_its_source_says(source: Source, words: str) -> None:
    problem = scoring.quote_problem(source, PAGES)
    assert (words in problem) if words else problem == ""


def test_shares_and_quantiles() -> None:
    assert scoring.share([True, False, False, True]) == 50
    assert scoring.share([]) == 0
    assert scoring.quantile([5, 1, 3, 2, 4], 0.5) == 3
    assert scoring.quantile([1.0, 2.0], 0.95) == 2
    with pytest.raises(ValueError, match="nothing"):
        scoring.quantile([], 0.5)


def test_a_wrong_engine_misses_every_goal_and_a_right_one_none() -> None:
    question = Question("q", "a.pdf", "How many ships?", (2,), ("1,905",))

    def phase(text: str, *sources: Source) -> Phase:
        return Phase((Asked(question, Said(text, sources, 0.01, 0.02)),), 0.001)

    def missed(told: Phase, off: Phase, problems: tuple[str, ...], hits: Hits) -> int:
        outcome = Outcome(Taken(1, 2, 3), told, told, off, off, problems, 1, 10**8)
        return sum(figure.is_missed for figure in of_questions(outcome, Row("", hits, hits, 1, 1), None))

    right = phase("“1,905 ships”, page 2", Source("a.pdf", 2, "1,905 ships"))
    refusal = phase("I did not find this in a.pdf.")
    assert missed(right, refusal, (), Hits((100, 100, 100), 100)) == 0
    # Pages five times, 800 tokens, containment, refusals twice, quotes.
    assert missed(refusal, right, ("page 1 does not hold the quote",), Hits((0, 0, 0), 0)) == 10


def test_what_a_model_is_given_is_neither_instruction_nor_question() -> None:
    system = {"role": "system", "content": "Answer only from the passages."}
    user = {"role": "user", "content": "[1] The lamp.\n\nWhen was it lit?"}
    assert passages([system, user], "When was it lit?") == "[1] The lamp."
    alone = {"role": "user", "content": "When was it lit?"}
    assert passages([{"role": "system", "content": "[1] The lamp."}, alone], "When was it lit?") == "[1] The lamp."


def test_chunks_know_their_pages() -> None:
    def words(text: str) -> list[tuple[int, int]]:
        found, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            found.append((at, at + len(word)))
            at += len(word)
        return found

    pages = ["One two three.", "Four five. Six seven eight nine.", "Ten."]
    windows = chunking.by_tokens("a.pdf", pages, words, size=4)
    assert [(chunk.pages, chunk.text.split()) for chunk in windows] == [
        ((1, 2), ["One", "two", "three.", "Four"]),
        ((2,), ["five.", "Six", "seven", "eight"]),
        ((2, 3), ["nine.", "Ten."]),
    ]
    sentences = chunking.by_sentences("a.pdf", pages, words, size=4)
    assert [(chunk.pages, chunk.text) for chunk in sentences] == [
        ((1,), "One two three."),
        ((2,), "Four five."),
        ((2,), "Six seven eight nine."),
        ((3,), "Ten."),
    ]
    overlapping = chunking.by_characters("a.pdf", pages, size=20, overlap=5)
    assert "".join(chunk.text[:15] for chunk in overlapping) == "\n\n".join(pages)[: 15 * len(overlapping)]
    assert (overlapping[0].pages, overlapping[-1].pages[-1]) == ((1, 2), 3)
    assert chunking.first_tokens("one two three", words, 2) == "one two"


def write_set(folder: Path, lines: list[dict[str, object]]) -> None:
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def line(**changes: object) -> dict[str, object]:
    told = {"id": "1", "file": "a.pdf", "page": 1, "pages": [1], "question": "?", "answers": ["x"], "source": "s"}
    return told | {"unanswerable": False} | changes


def test_a_set_is_read_with_its_distractors(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(b"%PDF")
    write_set(tmp_path, [line(), line(id="2", page=None, pages=[], answers=[], unanswerable=True)])
    whole = questions.load(tmp_path)
    assert whole.files == ("a.pdf", "b.pdf")
    assert ([one.id for one in whole.answerable], [one.id for one in whole.near_misses]) == (["1"], ["2"])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([line(file="c.pdf")], "not there: c.pdf"),
        ([line(pages=[], page=None)], "no page"),
        ([{"id": "1"}], "Line 1"),
        ([line(unanswerable=True)], "no question that can be answered"),
    ],
)
def test_a_set_that_is_none_is_told_in_words(tmp_path: Path, lines: list[dict[str, object]], words: str) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    write_set(tmp_path, lines)
    with pytest.raises(ValueError, match=words):
        questions.load(tmp_path)
    with pytest.raises(ValueError, match="no evaluation set"):
        questions.load(tmp_path / "nowhere")


def test_off_document_pairs_are_the_same_each_time_and_never_the_question_s_own_file() -> None:
    asked = tuple(Question(str(number), f"{number % 3}.pdf", "?", (1,), ("x",)) for number in range(30))
    whole = EvaluationSet(Path(), ("0.pdf", "1.pdf", "2.pdf", "3.pdf"), asked)
    pairs = questions.off_document(whole, 20, 7)
    assert len(pairs) == 20
    assert pairs == questions.off_document(whole, 20, 7) != questions.off_document(whole, 20, 8)
    assert all(question.file != file for question, file in pairs)
    assert questions.off_document(EvaluationSet(Path(), ("0.pdf",), asked[:1]), 20, 7) == []
