"""The engine's own reader of a question with documents wrapped around it; the relay has its own writer."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Everything str.splitlines() breaks at. A file's name holds none of them: they travel as "␛" and a letter.
_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_ESCAPE = "\u241b"
_NAME_CODES = {
    "n": "\n",
    "r": "\r",
    "v": "\x0b",
    "f": "\x0c",
    "x": "\x1c",
    "y": "\x1d",
    "z": "\x1e",
    "e": "\x85",
    "l": "\u2028",
    "p": "\u2029",
    _ESCAPE: _ESCAPE,
}
_HEADER = re.compile(rf"\n\n--- File Content: ([^{_BREAKS}]*) ---\n")
_END = re.compile(rf"\n--- End of File ---(?=\n\n--- File Content: [^{_BREAKS}]* ---\n|\Z)")
_PAGE = re.compile(r"--- Page ([0-9]{1,9}) ---\n")
_NEXT_PAGE = re.compile(r"\n\n--- Page ([0-9]{1,9}) ---\n")
_ESCAPED = re.compile(f"{_ESCAPE}(.)")
_MARKER = re.compile(r"(?:Page\s+\d+|End of File)\Z|File Content:", re.IGNORECASE)


@dataclass(frozen=True)
class EnvelopeFile:
    """One document of an envelope: `pages` as (number, text) for a paged one, else `text`; the other is None."""

    name: str
    pages: tuple[tuple[int, str], ...] | None
    text: str | None


@dataclass(frozen=True)
class Envelope:
    """What a message held: the question as it was asked, and the files in the order they came."""

    question: str
    files: tuple[EnvelopeFile, ...]


def parse(message: str) -> Envelope:
    """Take a message apart; one that is not wholly an envelope is a question without files.

    Takes time linear in the length of the message, whatever is in it.
    """
    header = _HEADER.search(message)
    if header is None:
        return Envelope(_restore(message), ())
    question = message[: header.start()]
    files: list[EnvelopeFile] = []
    while header is not None:
        end = _END.search(message, header.end())
        if end is None:
            return Envelope(_restore(message), ())
        files.append(_file(_name(header[1]), message[header.end() : end.start()]))
        if end.end() == len(message):
            return Envelope(_restore(question), tuple(files))
        header = _HEADER.match(message, end.end())
    return Envelope(_restore(message), ())


def _file(name: str, body: str) -> EnvelopeFile:
    first = _PAGE.match(body)
    if first is None:
        return EnvelopeFile(name, None, _restore(body))
    pages: list[tuple[int, str]] = []
    number, start = int(first[1]), first.end()
    for mark in _NEXT_PAGE.finditer(body, start):
        pages.append((number, _restore(body[start : mark.start()])))
        number, start = int(mark[1]), mark.end()
    pages.append((number, _restore(body[start:])))
    return EnvelopeFile(name, tuple(pages), None)


def _name(written: str) -> str:
    return _ESCAPED.sub(lambda found: _NAME_CODES.get(found[1], found[0]), written)


def _restore(text: str) -> str:
    """Take one backslash from each line that reads as a delimiter behind its backslashes."""
    if "\\---" not in text:
        return text
    return "".join(_restore_line(line) if "\\---" in line else line for line in text.splitlines(keepends=True))


def _restore_line(line: str) -> str:
    # Written without one big regular expression: "File Content:.*\s*---" takes quadratic time on a line of spaces.
    bare = line.lstrip()
    rest = bare.lstrip("\\").rstrip()
    if not bare.startswith("\\") or len(rest) < 6 or not (rest.startswith("---") and rest.endswith("---")):
        return line
    if _MARKER.match(rest[3:-3].strip()) is None:
        return line
    return line[: len(line) - len(bare)] + bare[1:]
