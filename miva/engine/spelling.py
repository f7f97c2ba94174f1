"""Words of a question that no document has, and what they are likely to be misspellings of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from miva.engine.text import plain_words

_SHORTEST = 6
"""Shorter words have too many neighbours ("cells", "calls"): questions about something else seemed to be answered."""


def respelled(unknown: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """For each unknown word that is one slip away from words of `texts`, the commonest of these."""
    slips = [word for word in unknown if len(word) >= _SHORTEST and word.isalpha()]
    if not slips:
        return {}
    words = Counter(word for text in texts for word in plain_words(text).split() if len(word) >= _SHORTEST)
    near = {slip: [word for word in words if _is_one_slip(slip, word)] for slip in slips}
    return {slip: max(found, key=lambda word: (words[word], word)) for slip, found in near.items() if found}


def _is_one_slip(a: str, b: str) -> bool:
    """Whether two words that begin alike differ by one letter, or by two neighbours that changed places."""
    if a[0] != b[0] or abs(len(a) - len(b)) > 1:
        return False
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest, other = a[same:], b[same:]
    is_swapped = rest[:2] == other[:2][::-1] and rest[2:] == other[2:]
    return is_swapped or rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
