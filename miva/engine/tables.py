"""Tables as they stand in running text: their rows, and the line above them that names their columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from miva.engine.passages import ends_sentence
from miva.engine.stores.base import Passage

_FIGURE = re.compile(r"[-−+(]?[$€£]?\d[\d.,/%)]*[A-Za-z€£%]{0,3}")
_LABEL = re.compile(r"[^\W\d_][^\d\n:]{0,40}:\s")
"""How a line of a form begins, which is no row: "Due on: …"."""
_WORDS = 25
_ROWS = 2
_ABOVE = 3
"""So many lines that are no rows may stand between a table's rows and what names its columns: the head of a group."""


def is_row(text: str) -> bool:
    """Whether a passage is a row of a table by its looks: at least two figures, which are a quarter of its words."""
    words = text.split()
    if not 2 < len(words) <= _WORDS or _LABEL.match(text) or ends_sentence(text):
        return False
    return _figures(words) >= max(2, len(words) / 4) and any(map(str.isalpha, text))


def is_field(text: str) -> bool:
    """Whether a passage begins as a line of a form does: "Due on: …"."""
    return _LABEL.match(text) is not None


def pairs(passages: Sequence[Passage]) -> Iterator[tuple[Passage, Passage]]:
    """What names the columns, and a row, for each row below such a line among neighbouring passages of a page."""
    names: Passage | None = None
    above: list[Passage] = []
    for rows, group in groupby(passages, key=lambda one: is_row(one.text)):
        found = list(group)
        if not rows:
            above = found[-_ABOVE:]
        elif len(found) >= _ROWS:
            most = max(_figures(row.text.split()) for row in found)
            new = next((one for one in reversed(above) if _names_columns(one.text, most)), None)
            names = new or (None if any(ends_sentence(one.text) for one in above) else names)
            yield from ((names, row) for row in found if names is not None)


def _names_columns(text: str, figures: int) -> bool:
    """Whether a line may name the columns of rows that have so many figures."""
    words = text.split()
    is_line = figures <= len(words) <= _WORDS and not (ends_sentence(text) or _LABEL.match(text))
    return is_line and 4 * _figures(words) < len(words)


def _figures(words: Sequence[str]) -> int:
    return sum(_FIGURE.fullmatch(word) is not None for word in words)
