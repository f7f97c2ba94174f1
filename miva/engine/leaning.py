"""Sentences that lean on the one before them: "His orders were to hold the fort.", "Dies gilt auch im Winter."."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from miva.engine.stores.base import Passage

# Whom or what such a word means stands in the sentence before. "Es", "il" and "el" mean nothing more often than not.
_LEANING_WORDS = """
    he she it they his her its their this these those such both
    er sie dies diese dieser dieses seine seiner ihre ihrer dabei dazu dafür dadurch deshalb
    elle ils elles cela cette ces celui celle ceux
    él ella ellos ellas este esta estos estas esto eso
"""
_LEANING = re.compile(rf"[\"'“‘«(]?(?:{'|'.join(_LEANING_WORDS.split())})\b", re.IGNORECASE)


def leans(text: str) -> bool:
    """Whether a sentence begins with a word that means someone or something of the sentence before it."""
    return _LEANING.match(text) is not None


def pairs(passages: Sequence[Passage]) -> Iterator[tuple[Passage, Passage]]:
    """Those neighbours on a page, among the passages of a chunk in their order, of which the second leans on the
    first."""
    for before, one in pairwise(passages):
        if not (before.heading or one.heading) and leans(one.text):
            yield before, one
