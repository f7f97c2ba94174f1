"""What text taken from a file may contain, and how to tell text from rubbish."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_ENDS = "\x0b\x0c\x85\u2028\u2029"
_INVISIBLE = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"
)
_SMALL = "\uf730-\uf739\uf761-\uf77a"
"""Old-style digits and small capitals, which the Adobe Glyph List puts into the private use area."""
_HYPHEN = re.compile("\ufffe(?:\r?\n)?(?=(.?))", re.DOTALL)
_LINE_ENDS = re.compile(f"\r\n?|[{_ENDS}]")
_NEVER = re.compile(f"[{_INVISIBLE}]")
_SMALL_CAPITALS = re.compile(f"[{_SMALL}]")
_TO_CLEAN = re.compile(f"[\r{_ENDS}{_INVISIBLE}{_SMALL}]")
"""All of the above: one look for it saves most pages five."""
_RUBBISH = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf72f\uf73a-\uf760\uf77b-\uf8ff\ufffd\uffff]"
)
_GLYPH_NAME = r"/[A-Za-z]{1,2}[0-9]{1,5}\s?"
_GLYPH_NAMES = re.compile(f"{_GLYPH_NAME}(?:{_GLYPH_NAME})+")  # begins with a character, which is quick to find
"""What PyPDF2 gives for a font's own characters: "/g936/g1007/c45"."""


def clean(text: str) -> str:
    """Text that can be stored, sent and searched: no controls, surrogates or invisible fillers, lines ended by LF.

    pdfium marks a hyphen at a line's end with U+FFFE and drops the line break: the halves of the word are joined. The
    hyphen stays where the second half begins with anything but a small letter, as in "COVID-19".
    """
    text = text.replace("\r\n", "\n")
    if not _is_plain(text) and _TO_CLEAN.search(text):
        text = _HYPHEN.sub(lambda match: "" if match[1].islower() else "-", text)
        text = _SMALL_CAPITALS.sub(lambda match: chr(ord(match[0]) - 0xF700), text)
        text = _LINE_ENDS.sub("\n", text)
        text = _NEVER.sub("", text)
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return text.strip("\n")


def with_added(text: str, added: Sequence[str]) -> str:
    """A page's cleaned text and below it what was typed onto the page or filled in, where it is not there already."""
    if not added:
        return text
    there = "".join(text.split())
    missing = [one for one in map(clean, added) if "".join(one.split()) not in there]
    return "\n".join(filter(None, [text, *missing]))


def letters(text: str) -> int:
    """How many letters and digits a text has."""
    return sum(map(str.isalnum, text))


def has_letters(text: str, at_least: int = 1) -> bool:
    """Whether a text has so many letters and digits; looks no further than it must."""
    return len(list(itertools.islice(filter(str.isalnum, text), at_least))) == at_least


def is_garbled(text: str) -> bool:
    """True where over a fifth of the visible characters mean nothing: controls, private use, replacement characters, or
    glyphs by their names.

    That is what a font without a usable character map leaves behind. To be asked before `clean`.
    """
    may_be = "\ufffd" in text or not _is_plain(text.replace("\r\n", "\n"))
    rubbish = len(_RUBBISH.findall(text)) if may_be else 0
    rubbish += sum(map(len, _GLYPH_NAMES.findall(text)))
    return rubbish > 0 and 5 * rubbish > len(text) - sum(map(str.isspace, text)) > 0


def _is_plain(text: str) -> bool:
    """Whether there are only printable characters and LF, as on most pages, where it takes half as long as to look for
    what else there is: all that is cleaned away counts as not printable, and of rubbish all but U+FFFD."""
    return text.replace("\n", "").isprintable()
