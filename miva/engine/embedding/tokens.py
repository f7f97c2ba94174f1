"""Texts as the model reads them: word pieces by number, from the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

LONGEST = 256
"""Tokens of a text that the model reads, its first and last mark among them (sentence-transformers: max_seq_length)."""

_FIRST_LOOK = 4096  # characters: nearly always enough for LONGEST tokens
_LONGEST_WORD = 100  # characters; the tokenizer takes a longer word for unknown, as one token


class Tokens:
    """The tokenizer. Safe to use from several threads; starts none (one text at a time is never shared out)."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._begin, self._end = self._tokenizer.encode("").ids  # the two marks

    def numbers(self, text: str) -> list[int]:
        """What the model reads of a text: its beginning, at most `LONGEST` tokens, at least the two marks."""
        return [self._begin, *self._pieces(text, LONGEST - 2), self._end]

    def count(self, text: str) -> int:
        """How many word pieces the whole text has, the two marks not counted."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _pieces(self, text: str, most: int) -> Sequence[int]:
        """The first pieces of a text, without looking at all of one that is megabytes long."""
        look = _FIRST_LOOK
        while True:
            found = self._tokenizer.encode(text[:look], add_special_tokens=False)
            # A word that the cut divides may read differently whole, so the last piece wanted must end well before it.
            enough = len(found) >= most and found.offsets[most - 1][1] <= look - _LONGEST_WORD
            if enough or look >= len(text):
                return found.ids[:most]
            look *= 8
