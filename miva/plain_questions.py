"""Which question of a plain socket an engine's frames answer: they do not say, but their order does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from miva.protocol import engine
from miva.protocol.events import Delta, Done, Failed, Reply, Sources

MOST_OPEN = 100
"""Questions that stay open though the engine goes on talking: some engines answer several at once."""
LONGEST_PIECE = 100_000
"""Characters of a frame that is kept to be looked at later; a longer one counts as the end of an answer."""

QUIET_S = 1.0
"""Silence behind a piece after which the next question begins a new answer."""
_PIECES = ('{"type":"stream",', '{"type": "stream",')
"""How nearly all frames of a long answer begin: it costs a tenth of understanding them."""

Name = TypeVar("Name")


@dataclass(eq=False, slots=True)
class OpenQuestion(Generic[Name]):
    """A question that the engine has, and has not answered as far as can be told."""

    frame: str
    """What is sent; forgotten when it is not to be sent again."""
    name: Name
    is_begun: bool = False
    """Whether the engine said something that counts as an answer to it."""
    may_be_answered: bool = False
    """Whether the engine said anything since it was sent: that may have been about this one too."""


class OpenQuestions(Generic[Name]):
    """The open questions of one connection, oldest first: frames answer the oldest, until one ends its answer.

    Only where several are open are frames looked into. The last one stays, for whatever else the engine says.
    """

    def __init__(self) -> None:
        self.all: list[OpenQuestion[Name]] = []
        self.await_a_word = False
        """Whether a question was asked since the engine last said anything."""
        self._last = ""
        self._heard_at = 0.0

    @property
    def are_several(self) -> bool:
        return len(self.all) > 1

    @property
    def size(self) -> int:
        """Characters that are held to be sent again."""
        return sum(len(question.frame) for question in self.all)

    def ask(self, frame: str, name: Name) -> OpenQuestion[Name]:
        """Adds a question. What was answered before it is over now."""
        if self.all and self.all[0].is_begun and self._is_over():
            del self.all[0]
        if len(self.all) >= MOST_OPEN and self.all[0].may_be_answered:
            del self.all[0]
        question = OpenQuestion(frame, name)
        self.all.append(question)
        self.await_a_word = True
        return question

    def forget(self, question: OpenQuestion[Name]) -> None:
        """Takes a question back that could not be sent."""
        if question in self.all:
            self.all.remove(question)

    def note(self, frames: Sequence[str]) -> Name | None:
        """The name of the question that these frames answer, where there is only one, or none."""
        last = frames[-1]
        self._last = last if len(last) <= LONGEST_PIECE else ""
        self._heard_at = time.monotonic()
        if self.await_a_word:
            self.await_a_word = False
            for question in self.all:
                question.may_be_answered = True
                question.frame = ""
        if not self.all:
            return None
        oldest = self.all[0]
        oldest.is_begun = True
        return oldest.name

    def shared_out(self, frames: Sequence[str]) -> list[tuple[Name, Sequence[str]]]:
        """Frames by the questions that they answer, where there are several."""
        self.note(frames)
        shared: list[tuple[Name, Sequence[str]]] = []
        answer: list[str] = []
        for frame in frames:
            answer.append(frame)
            is_piece = frame.startswith(_PIECES)
            if not is_piece and self.are_several and isinstance(engine.read(frame), Done | Failed | Reply):
                shared.append((self.all.pop(0).name, answer))
                answer = []
        if answer:
            self.all[0].is_begun = True
            shared.append((self.all[0].name, answer))
        return shared

    def end(self, *, is_clean: bool) -> list[OpenQuestion[Name]]:
        """The connection is over. Returns the questions that got no word of their own and may not be asked again, as
        the engine said something since; none where it ended with a goodbye. The others stay, to be asked again."""
        lost = [question for question in self.all if question.may_be_answered and not question.is_begun]
        self.all = [question for question in self.all if not question.may_be_answered]
        return [] if is_clean else lost

    def take_all(self) -> list[OpenQuestion[Name]]:
        """All questions, which are open no more."""
        taken, self.all = self.all, []
        self.await_a_word = False
        return taken

    def _is_over(self) -> bool:
        """Whether the answer that was heard last is whole. Not every engine that sends pieces says when they end."""
        match engine.read(self._last):
            case Done() | Failed() | Reply():
                return True
            case Delta() | Sources():
                return time.monotonic() - self._heard_at > QUIET_S
            case _:
                return False
