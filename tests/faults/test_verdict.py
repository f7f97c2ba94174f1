"""The checker itself: it sees each kind of loss in what tabs were shown and in what is stored."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from tests.faults.record import Counts, Frame, View
from tests.faults.script import Question, difference, parse
from tests.faults.stage import Stage
from tests.faults.talks import Talk
from tests.faults.verdict import Message, Stored, check_log, check_turns, check_view

QUESTION = Question("q", words=4, burst=1, pause_ms=1, repeats_all=True)
ANSWER = "q.0 q.1 q.2 q.3 "


def frame(seq: int, kind: str, turn: str = "t", **more: Any) -> Frame:
    return {"type": kind, "conversation": "c", "turn": turn, "seq": seq} | more


def accepted(seq: int = 1, **more: Any) -> Frame:
    return frame(seq, "accepted", id="q", message=QUESTION.message, documents=[], position=0, **more)


def delta(seq: int, text: str) -> Frame:
    return frame(seq, "delta", text=text)


def done(seq: int, text: str = ANSWER) -> Frame:
    return frame(seq, "done", text=text)


GOOD = [accepted(), delta(2, "q.0 q.1 "), delta(3, "q.2 q.3 "), done(4)]
SAID: list[Message] = [("t", "user", QUESTION.message), ("t", "assistant", ANSWER)]


def judged(log: list[Frame], messages: list[Message] = SAID, **more: Any) -> str:
    """What is counted of a conversation in which QUESTION was asked."""
    counts = Counts()
    tab = Mock(ended={"q": (5.0, "done")})
    talk = Talk("c", "", tab, tab, asked=[QUESTION], asked_at={"q": 1.0}, **more)
    stage = Mock(spec=Stage, engine_trouble=[[10.0, 20.0]])
    check_log("c", log, counts)
    check_turns(talk, stage, Stored(log, messages), counts)
    return counts.line.partition("frames=0 ")[2]


NOTHING = "lost=0 dup=0 reordered=0 unterminated=0 stored_differs=0"


def test_a_conversation_that_is_whole_counts_nothing() -> None:
    assert parse(QUESTION.message) == QUESTION
    assert QUESTION.answer == ANSWER
    assert judged(GOOD) == NOTHING
    again = [accepted(), delta(2, "q.0 "), frame(3, "reset", attempt=2), delta(4, ANSWER), done(5)]
    assert judged(again) == NOTHING
    stopped = [accepted(), delta(2, "q.0 "), frame(3, "cancelled")]
    assert judged(stopped, SAID[:1], cancelled={"q"}) == NOTHING


@pytest.mark.parametrize(
    ("log", "messages", "found"),
    [
        ([GOOD[0], GOOD[1], done(4)], SAID, "lost=3 dup=0 reordered=0 unterminated=0 stored_differs=1"),
        (
            [GOOD[0], GOOD[1], delta(3, "q.3 "), done(4)],
            SAID,
            "lost=1 dup=0 reordered=0 unterminated=0 stored_differs=1",
        ),
        (GOOD[:3], [], "lost=0 dup=0 reordered=0 unterminated=1 stored_differs=0"),
        ([*GOOD, done(5)], SAID, "lost=0 dup=1 reordered=0 unterminated=0 stored_differs=0"),
        ([*GOOD, GOOD[3]], SAID, "lost=0 dup=2 reordered=0 unterminated=0 stored_differs=0"),
        ([*GOOD, accepted(5, turn="u")], SAID, "lost=0 dup=1 reordered=0 unterminated=1 stored_differs=0"),
        (GOOD, SAID[:1], "lost=0 dup=0 reordered=0 unterminated=0 stored_differs=1"),
        ([], [], "lost=1 dup=0 reordered=0 unterminated=0 stored_differs=0"),
        (
            [accepted(), frame(2, "error", code="engine_error", message="")],
            SAID[:1],
            "lost=1 dup=0 reordered=0 unterminated=0 stored_differs=0",
        ),
        ([accepted(), frame(2, "cancelled")], SAID[:1], "lost=1 dup=0 reordered=0 unterminated=0 stored_differs=0"),
    ],
)
def test_each_kind_of_loss_is_counted(log: list[Frame], messages: list[Message], found: str) -> None:
    assert judged(log, messages) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("q.0 q.1 q.3 ", (1, 0, 0)),
        ("q.0 q.1 q.1 q.2 q.3 ", (0, 1, 0)),
        ("q.0 q.2 q.1 q.3 ", (0, 0, 1)),
        ("q.0 q.1 q.2 q", (2, 0, 0)),
    ],
)
def test_words_are_missed_seen_twice_and_out_of_order(text: str, found: tuple[int, int, int]) -> None:
    seen = difference(QUESTION, text)
    assert (seen.lost, seen.dup, seen.reordered) == found
    assert not difference(QUESTION, "q.0 q.1 q", may_end_early=True)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (GOOD, NOTHING),
        ([GOOD[0], GOOD[2], GOOD[3]], "lost=1 dup=0 reordered=0 unterminated=0 stored_differs=0"),
        ([*GOOD, GOOD[1]], "lost=0 dup=1 reordered=0 unterminated=0 stored_differs=0"),
        ([GOOD[0], GOOD[2], GOOD[1]], "lost=1 dup=0 reordered=1 unterminated=0 stored_differs=0"),
        ([*GOOD[:3], done(4, "")], "lost=0 dup=1 reordered=0 unterminated=0 stored_differs=0"),
        ([*GOOD, delta(5, "q.4 ")], "lost=0 dup=0 reordered=0 unterminated=0 stored_differs=1"),
        ([*GOOD, GOOD[0]], "lost=0 dup=1 reordered=0 unterminated=0 stored_differs=0"),
    ],
)
def test_what_a_tab_is_shown_is_what_is_stored_once_and_in_order(shown: list[Frame], found: str) -> None:
    counts = Counts()
    view = View("tab", "c", counts)
    for told in shown:
        view.take(told)
    check_view(view, {told["seq"]: told for told in GOOD}, counts)
    assert counts.line.partition(f"frames={len(shown)} ")[2] == found


def test_an_accepted_may_come_again_where_the_question_was_asked_again() -> None:
    counts = Counts()
    view = View("tab", "c", counts)
    view.repeats["q"] = 1
    for told in (*GOOD, accepted() | {"position": 3}):
        view.take(told)
    assert counts.losses == 0
    assert view.last == 4
