"""Questions that a list answers ("how do I …", "what are the steps"), and the list that stands below a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from miva.engine.passages import ends_sentence
from miva.engine.stores.base import Passage
from miva.engine.text import fold

MOST = 12
"""Passages of a list that are shown."""
_GAP = 2
"""So many passages may stand between the points of a list, whose points may be of several sentences, or above it."""
_ASKING = re.compile(
    r"\b(?:how (?:do|does|can|could|should|must|would|to)|what (?:are|were) the|what do (?:i|we|you) (?:need|have to)"
    r"|what should (?:i|we|you)|steps?|procedures?|instructions?|ingredients|requirements?|list"
    r"|wie (?:kann|muss|soll|mache?|wird|werden|geht)|was (?:muss|soll|brauche)|schritte?|comment|como|etapes?|pasos)\b"
)
_POINT = re.compile(r"(?:[•▪●◦‣∙*–-]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)")


def asks_for_one(question: str) -> bool:
    """Whether a list may be what the question asks for, as far as its words tell."""
    return _ASKING.search(fold(question).lower()) is not None


def is_point(text: str) -> bool:
    """Whether a passage begins as a point of a list does: "•", "1.", "(a)"."""
    return _POINT.match(text) is not None


def items(passages: Sequence[Passage]) -> int:
    """How many of the passages, from the first on, are points of a list or short lines that end as no sentence does;
    what follows the semicolon of a point is the next one."""
    count = 0
    for one in passages:
        follows = count > 0 and passages[count - 1].text.endswith(";")
        if one.heading or not (is_point(one.text) or follows or one.text.endswith(";") or not ends_sentence(one.text)):
            break
        count += 1
    return count


def below(here: Passage, page: Sequence[Passage]) -> list[Passage]:
    """The points of the list that stands below a heading, and what stands between them; empty where none
    does. `page` are the passages of its page in order."""
    if not here.heading:
        return []
    section: list[Passage] = []
    for one in page:
        if one.number > here.number:
            if one.heading:
                break
            section.append(one)
    points = [i for i, one in enumerate(section) if is_point(one.text)]
    if not points or points[0] > _GAP:
        return []
    last = points[0]
    for point in points:
        if point - last > _GAP + 1:
            break
        last = point
    return section[: last + 1][:MOST] if last > points[0] else []
