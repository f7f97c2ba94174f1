"""The tests' own small writer of the envelope, straight from the words of the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence

from miva.engine.envelope import EnvelopeFile

_DELIMITER = re.compile(
    r"^(\s*)(\\*)(---\s*(?:Page\s+\d+|File Content:.*|End of File)\s*---\s*)$", re.IGNORECASE | re.DOTALL
)
_CODES = {"\n": "n", "\r": "r", "\x0b": "v", "\x0c": "f", "\x1c": "x", "\x1d": "y", "\x1e": "z", "\x85": "e"}
_CODES |= {"\u2028": "l", "\u2029": "p", "␛": "␛"}


def wrap(question: str, files: Sequence[EnvelopeFile]) -> str:
    """What the relay sends for a question with files."""
    return defuse(question) + "".join(_block(file) for file in files)


def defuse(text: str) -> str:
    """One backslash more in each line that reads as a delimiter."""
    return "".join(_DELIMITER.sub(r"\1\2\\\3", line) for line in text.splitlines(keepends=True))


def _block(file: EnvelopeFile) -> str:
    name = "".join("␛" + _CODES[c] if c in _CODES else c for c in file.name)
    if file.pages is None:
        text = defuse(file.text or "")
    else:
        text = "\n\n".join(f"--- Page {number} ---\n{defuse(page)}" for number, page in file.pages)
    return f"\n\n--- File Content: {name} ---\n{text}\n--- End of File ---"


def pdf(*pages: str, name: str = "d.pdf") -> EnvelopeFile:
    """A paged file."""
    return EnvelopeFile(name, tuple(enumerate(pages, 1)), None)


def plain(text: str, name: str = "d.txt") -> EnvelopeFile:
    """A text file."""
    return EnvelopeFile(name, None, text)
