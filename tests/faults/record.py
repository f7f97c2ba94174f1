"""What is counted in a run, and what one tab was shown of one conversation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.script import Difference

Frame = dict[str, Any]

ENDS = {"done", "error", "cancelled"}
MOST_NOTES = 200


@dataclass
class Counts:
    """What a run did and what it found; `notes` say where."""

    faults: int = 0
    turns: int = 0
    frames: int = 0
    lost: int = 0
    dup: int = 0
    reordered: int = 0
    unterminated: int = 0
    stored_differs: int = 0
    notes: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """What must not happen either and is none of the above: a traceback, a close with 1011, a server that hangs."""
    given_up: dict[str, str] = field(default_factory=dict)
    """The turns that ended with `internal`, and which questions they were."""
    ends: Counter[str] = field(default_factory=Counter)
    """How the turns ended."""
    kinds: Counter[str] = field(default_factory=Counter)
    """The faults by their kinds."""

    def found(self, kind: str, many: int, note: str) -> None:
        """Counts so many losses of a kind."""
        if many:
            setattr(self, kind, getattr(self, kind) + many)
            if len(self.notes) < MOST_NOTES:
                self.notes.append(f"{kind} {many}: {note}")

    def differs(self, difference: Difference, note: str) -> None:
        """Counts how a text differs from what was said."""
        self.found("lost", difference.lost, note)
        self.found("dup", difference.dup, note)
        self.found("reordered", difference.reordered, note)

    @property
    def losses(self) -> int:
        return self.lost + self.dup + self.reordered + self.unterminated + self.stored_differs

    @property
    def line(self) -> str:
        """The one line of a run."""
        names = ("faults", "turns", "frames", "lost", "dup", "reordered", "unterminated", "stored_differs")
        return " ".join(f"{name}={getattr(self, name)}" for name in names)

    def add(self, other: Counts) -> None:
        """Adds what another run counted."""
        for name in ("faults", "turns", "frames", "lost", "dup", "reordered", "unterminated", "stored_differs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes
        self.surprises += other.surprises
        self.given_up |= other.given_up
        self.ends += other.ends
        self.kinds += other.kinds


class View:
    """What one tab has been shown of a conversation since it last forgot everything; checks each frame as it comes."""

    def __init__(self, name: str, label: str, counts: Counts) -> None:
        self.name = name
        self.label = label
        self.last = 0
        """The number to resume after."""
        self.frames: dict[int, Frame] = {}
        self.repeats: Counter[str] = Counter()
        """How often the `accepted` of a question may come once more, because it was asked again."""
        self._counts = counts

    def take(self, frame: Frame) -> bool:
        """Notes a frame of the log; False where it was shown before."""
        seq: int = frame["seq"]
        self._counts.frames += 1
        if seq == self.last + 1:
            self.frames[seq] = frame
            self.last = seq
            return True
        where = f"{self.name} at {self.last} was shown {frame['type']} {seq} of {self.label}"
        known = self.frames.get(seq)
        if frame["type"] == "accepted" and self.repeats[frame["id"]]:
            self.repeats[frame["id"]] -= 1
            if known is not None and not same(known, frame):
                self._counts.found("dup", 1, f"{where} with another body")
            return known is None
        if seq > self.last:
            self._counts.found("lost", seq - self.last - 1, where)
            self.last = seq
        else:
            self._counts.found("dup" if known is not None else "reordered", 1, where)
        self.frames.setdefault(seq, frame)
        return known is None


def same(one: Frame, other: Frame) -> bool:
    """Whether two frames tell the same event. (A repeated `accepted` says where the question stands now.)"""
    if one["type"] == other["type"] == "accepted":
        return one | {"position": None} == other | {"position": None}
    return one == other
