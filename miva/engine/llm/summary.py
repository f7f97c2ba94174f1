"""A summary of more than fits into a model: parts first, then what was written about the parts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from miva.engine.llm.budget import Budget
from miva.engine.llm.sentences import split
from miva.engine.llm.task import Excerpt

MAX_PARTS = 8
"""How many parts are read at most: each is a call of the model."""
DIGEST_TOKENS = 160
_AROUND = 300  # tokens of the instructions around a part
_LEAST_ROOM = 128


@dataclass(frozen=True)
class Plan:
    """The parts to read, in reading order, and how many there are with those that are left out."""

    parts: list[list[Excerpt]]
    of: int

    def order(self) -> list[int]:
        """The numbers of the parts, each as far as can be from those before it: what was read when there is no more
        time comes from everywhere."""
        found = [0]
        left = list(range(len(self.parts) - 1, 0, -1))
        while left:
            left.sort(key=lambda number: min(abs(number - other) for other in found))
            found.append(left.pop())
        return found

    def left_out(self, read: int) -> str:
        """In words what is left out where so many parts were read ("" for nothing)."""
        if read == self.of:
            return ""
        why = "the rest did not fit" if read == len(self.parts) else "there was no time for the rest"
        return f"This summary is made from {read} of {self.of} parts, spread evenly; {why}."


def plan(sections: Sequence[Excerpt], budget: Budget, reserve: int) -> Plan:
    """Neighbouring sections joined to parts that each fit into a model; of too many parts, some from everywhere.

    `reserve` is what the answer may have in tokens.
    """
    answer = max(DIGEST_TOKENS, min(reserve, budget.context_tokens // 2))
    room = max(_LEAST_ROOM, budget.context_tokens - answer - _AROUND)
    parts: list[list[Excerpt]] = []
    used = room
    for section in (piece for whole in sections for piece in _pieces(whole, room, budget)):
        size = budget.size(section)
        if used + size > room:
            parts.append([])
            used = 0
        parts[-1].append(section)
        used += size
    if len(parts) <= MAX_PARTS:
        return Plan(parts, len(parts))
    # Evenly spaced, the first and the last among them: that is where a document says what it is about.
    kept = [parts[number * (len(parts) - 1) // (MAX_PARTS - 1)] for number in range(MAX_PARTS)]
    return Plan(kept, len(parts))


def as_excerpt(part: Sequence[Excerpt], digest: str) -> Excerpt:
    """What was written about a part, under the name and page with which the part begins."""
    return replace(part[0], text=digest)


def _pieces(section: Excerpt, room: int, budget: Budget) -> list[Excerpt]:
    """The section, or, where it does not fit alone, pieces of whole sentences that do."""
    if budget.size(section) <= room:
        return [section]
    free = max(1, room - budget.size(replace(section, text="")))
    pieces, used = [""], 0
    for sentence in split(section.text):
        # A sentence is at most 2,200 characters; one that is still too long for a small model goes in slices.
        size = budget.count(sentence)
        step = len(sentence) if size <= free else max(1, len(sentence) * free // size)
        for start in range(0, len(sentence), step):
            text = sentence[start : start + step]
            size = budget.count(text)
            if used + size > free and pieces[-1]:
                pieces.append("")
                used = 0
            pieces[-1] += text
            used += size
    return [replace(section, text=piece) for piece in pieces]
