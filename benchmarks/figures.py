"""What a benchmark says: a figure, its baseline of the same run, the goal, and the table they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """At most (or, with `at_least`, at least) this much: `reach` is promised (None: nothing), `stretch` hoped for."""

    reach: float | None
    stretch: float | None = None
    at_least: bool = False

    def verdict(self, value: float) -> str:
        """One of "stretch", "reached" and "missed", or "not yet" where nothing was promised."""
        if self._holds(value, self.stretch):
            return "stretch"
        if self.reach is None:
            return "not yet"
        return "reached" if self._holds(value, self.reach) else "missed"

    def words(self, show: Callable[[float], str]) -> str:
        """The goal as it stands in the table."""
        sign = "≥" if self.at_least else "≤"
        promised = [f"{sign} {show(self.reach)}"] if self.reach is not None else []
        hoped = [f"({sign} {show(self.stretch)})"] if self.stretch is not None else []
        return " ".join(promised + hoped)

    def _holds(self, value: float, bound: float | None) -> bool:
        if bound is None:
            return False
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `value` is what the goal is about (a ratio, a count, a size); `unit` follows it ("", "ms", "KB", "× naive");
    `detail` holds the absolute values it was made of, baseline included, for the reader.
    """

    what: str
    value: float
    unit: str = ""
    goal: Goal | None = None
    detail: str = ""

    @property
    def is_missed(self) -> bool:
        return self.goal is not None and self.goal.verdict(self.value) == "missed"


def number(value: float) -> str:
    """Three digits that mean something, and no more: 0.482, 12.3, 20,000."""
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| figure | measured | goal (stretch) | | made of |", "| --- | --- | --- | --- | --- |"]
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        goal, verdict = "", ""
        if figure.goal is not None:
            goal, verdict = figure.goal.words(number), figure.goal.verdict(figure.value)
        lines.append(f"| {figure.what} | {number(figure.value)}{unit} | {goal} | {verdict} | {figure.detail} |")
    return "\n".join(lines) + "\n"
