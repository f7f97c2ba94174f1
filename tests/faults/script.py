"""What a question makes the engine say: numbered words, so that whoever knows the question knows the whole answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """`name` is the client's id too; the engine says so many words, `burst` at once, with a pause between."""

    name: str
    words: int
    burst: int
    pause_ms: int
    repeats_all: bool
    """Whether the engine's `done` carries the whole answer, or leaves it to the relay to have kept it."""

    @property
    def message(self) -> str:
        """What the client asks."""
        return f"{self.name} {self.words} {self.burst} {self.pause_ms} {int(self.repeats_all)}"

    @property
    def answer(self) -> str:
        """The whole answer."""
        return "".join(self.word(number) for number in range(self.words))

    def word(self, number: int) -> str:
        return f"{self.name}.{number} "


def parse(message: str) -> Question:
    """The question that was asked with this message; raises ValueError."""
    name, words, burst, pause_ms, repeats_all = message.split()
    return Question(name, int(words), int(burst), int(pause_ms), repeats_all == "1")


@dataclass(frozen=True, slots=True)
class Difference:
    """How a text differs from the words that were said: words that are not there, are there again, stand wrongly."""

    lost: int = 0
    dup: int = 0
    reordered: int = 0

    def __bool__(self) -> bool:
        return bool(self.lost or self.dup or self.reordered)


def difference(question: Question, text: str, *, may_end_early: bool = False) -> Difference:
    """Compares a text with a question's answer; `may_end_early` where the beginning of it is enough."""
    if text == question.answer or (may_end_early and question.answer.startswith(text)):
        return Difference()
    said = {question.word(number): number for number in range(question.words)}
    lost = dup = reordered = 0
    seen: set[int] = set()
    highest = -1
    for word in text.split():
        number = said.get(f"{word} ")
        if number is None:  # half a word, or one that nobody said: a word of the answer is not what it was
            lost += 1
        elif number in seen:
            dup += 1
        else:
            reordered += number < highest
            seen.add(number)
            highest = max(highest, number)
    wanted = highest + 1 if may_end_early else question.words
    lost += wanted - len(seen)
    return Difference(max(lost, int(not (lost or dup or reordered))), dup, reordered)
