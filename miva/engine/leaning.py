"""Sentences that lean on the one before them: "His orders were to hold the fort.", "Dies gilt auch im Winter."."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from miva.engine import listing, tables
from miva.engine.passages import ends_sentence
from miva.engine.stores.base import Passage
from miva.engine.text import count_tokens

# Whom or what such a word means stands in the sentence before. "Es", "il" and "el" mean nothing more often than not.
_LEANING_WORDS = """
    he she it they his her its their this these those such both
    er sie dies diese dieser dieses seine seiner ihre ihrer dabei dazu dafür dadurch deshalb
    elle ils elles cela cette ces celui celle ceux
    él ella ellos ellas este esta estos estas esto eso
"""
_LEANING = re.compile(rf"[\"'“‘«(]?(?:{'|'.join(_LEANING_WORDS.split())})\b", re.IGNORECASE)

_FRAGMENT_TOKENS = 16
"""A line without an end that is shorter says little by itself."""


def leans(text: str) -> bool:
    """Whether a sentence begins with a word that means someone or something of the sentence before it."""
    return _LEANING.match(text) is not None


def pairs(passages: Sequence[Passage]) -> Iterator[tuple[Passage, Passage]]:
    """Those neighbours on a page, among the passages of a chunk in their order, of which the second leans on the
    first."""
    for before, one in pairwise(passages):
        if not (before.heading or one.heading) and leans(one.text):
            yield before, one


def is_fragment(one: Passage) -> bool:
    """Whether a passage is a short line that says little by itself: no sentence, no heading, no row of a table, no line
    of a form with its label, no point of a list."""
    text = one.text
    if one.heading or ends_sentence(text) or listing.is_point(text) or tables.is_row(text) or tables.is_field(text):
        return False
    return count_tokens(text) < _FRAGMENT_TOKENS
