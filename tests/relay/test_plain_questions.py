"""Which question an engine's frames answer, and how much is held for one that never says."""

from __future__ import annotations

from miva.plain_questions import LONGEST_PIECE, MOST_OPEN, OpenQuestions

PIECE = '{"type": "stream", "content": "x"}'
DONE = '{"type": "done"}'


def test_what_came_at_once_is_shared_out_by_the_ends_in_it() -> None:
    questions: OpenQuestions[str] = OpenQuestions()
    for name in "abc":
        questions.ask(f"question {name}", name)
    assert questions.shared_out([PIECE, DONE, "an answer", PIECE, PIECE]) == [
        ("a", [PIECE, DONE]),
        ("b", ["an answer"]),
        ("c", [PIECE, PIECE]),
    ]
    assert questions.note([PIECE]) == "c"


def test_only_what_nothing_was_said_since_is_held_to_be_asked_again() -> None:
    questions: OpenQuestions[str] = OpenQuestions()
    for name in "ab":
        questions.ask("x" * 1000, name)
    assert questions.size == 2000
    questions.shared_out([PIECE])
    assert questions.size == 0
    questions.ask("y" * 10, "c")
    assert [question.name for question in questions.end(is_clean=False)] == ["b"]
    assert [question.frame for question in questions.all] == ["y" * 10]


def test_an_engine_that_answers_two_at_once_for_ever_leaves_few_open() -> None:
    questions: OpenQuestions[int] = OpenQuestions()
    for number in range(0, 10 * MOST_OPEN, 2):
        questions.ask("q", number)
        questions.ask("q", number + 1)
        questions.shared_out(["an answer to both"])
    assert len(questions.all) <= MOST_OPEN + 1


def test_an_answer_of_one_long_frame_is_over() -> None:
    questions: OpenQuestions[str] = OpenQuestions()
    questions.ask("q", "a")
    questions.note([PIECE.replace("x", "x" * LONGEST_PIECE)])
    questions.ask("q", "b")
    assert questions.note([PIECE]) == "b"
