"""The one place that knows how a document is wrapped around a question, and its inverse.

The wrapping is that of contract section 3.1. What could be mistaken for one of its delimiters is defused in a way that
can be undone: a line of a question or a text that would read as a delimiter gets one backslash before its dashes, and
one that has backslashes there already gets one more; a line break in a file's name is written as `␛` and a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` takes for the end of a line: an engine may split by any of them."""
_CODES = dict(zip(_BREAKS, "nrvfxyzelp", strict=True))
_BREAK = re.compile(f"[{_BREAKS}]")
_WORDS = re.compile(r"page\s+\d+|file content:.*|end of file", re.IGNORECASE | re.DOTALL)
_DASHES = "---"
_NAME_CODE = re.compile("␛([␛nrvfxyzelp])")
_NAME_CHARACTER = re.compile(f"[␛{_BREAKS}]")
_FILE = re.compile(rf"(?:\A|(?<=\n))--- File Content: ([^{_BREAKS}]*) ---\n")
_PAGE = re.compile(r"(?:\A|(?<=\n))--- Page [0-9]+ ---\n")
_END = "\n--- End of File ---"
_WHOLE_END = re.compile(rf"{_END}(?=\n|\Z)")


@dataclass(frozen=True, slots=True)
class WrappedFile:
    """One file's text: `pages` of a PDF, in order from page 1, or the one whole `text` of a plain text file."""

    name: str
    pages: tuple[str, ...] | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    question: str
    files: tuple[WrappedFile, ...] = ()


def wrap(question: str, files: Sequence[WrappedFile]) -> str:
    """The `message` for the engine: the question, then one block for each file."""
    return defuse(question) + "".join(_block(file) for file in files)


def unwrap(message: str) -> Envelope:
    """Exactly the question and the files that `wrap` was given; a message that is no envelope is a question alone."""
    files: list[WrappedFile] = []
    start = _FILE.search(message)
    if start is None or not message[: start.start()].endswith("\n\n"):
        return Envelope(restore(message))
    question = restore(message[: start.start() - 2])
    while start is not None:
        end = _WHOLE_END.search(message, start.end() - 1)
        if end is None:
            return Envelope(restore(message))
        files.append(_unwrap_file(start.group(1), message[start.end() : end.start()]))
        start = _FILE.match(message, end.end() + 2)
    return Envelope(question, tuple(files))


def defuse(text: str) -> str:
    """The text with one backslash more in each line that would read as a delimiter."""
    pieces: list[str] = []
    done = 0
    for _, dashes in _delimiter_lines(text):
        pieces += [text[done:dashes], "\\"]
        done = dashes
    return "".join([*pieces, text[done:]]) if pieces else text


def restore(text: str) -> str:
    """The inverse of `defuse`."""
    pieces: list[str] = []
    done = 0
    for slashes, dashes in _delimiter_lines(text):
        if slashes < dashes:
            pieces.append(text[done : dashes - 1])
            done = dashes
    return "".join([*pieces, text[done:]]) if pieces else text


def _delimiter_lines(text: str) -> Iterator[tuple[int, int]]:
    """For each line that reads as a delimiter, backslashes or not: where its backslashes begin, and its dashes.

    Looks only around dashes and at each line once, so that hostile text of megabytes costs no more than any other.
    """
    at = 0
    while (dashes := text.find(_DASHES, at)) >= 0:
        at = dashes + len(_DASHES)
        slashes = dashes
        while slashes and text[slashes - 1] == "\\":
            slashes -= 1
        start = slashes
        while start and text[start - 1].isspace() and text[start - 1] not in _BREAKS:
            start -= 1
        if start and text[start - 1] not in _BREAKS:
            continue
        end = _BREAK.search(text, at)
        rest = text[at : end.start() if end else len(text)].rstrip()
        at += len(rest)
        if rest.endswith(_DASHES) and _WORDS.fullmatch(rest[: -len(_DASHES)].strip()):
            yield slashes, dashes


def _block(file: WrappedFile) -> str:
    if file.pages is None:
        text = defuse(file.text or "")
    else:
        text = "\n\n".join(f"--- Page {number} ---\n{defuse(page)}" for number, page in enumerate(file.pages, 1))
    name = _NAME_CHARACTER.sub(lambda character: "␛" + _CODES.get(character[0], "␛"), file.name)
    return f"\n\n--- File Content: {name} ---\n{text}{_END}"


def _unwrap_file(name: str, text: str) -> WrappedFile:
    letters = {letter: character for character, letter in _CODES.items()} | {"␛": "␛"}
    name = _NAME_CODE.sub(lambda code: letters[code[1]], name)
    marks = list(_PAGE.finditer(text + "\n"))
    if not marks or marks[0].start() != 0:
        return WrappedFile(name, text=restore(text))
    ends = [mark.start() - 2 for mark in marks[1:]] + [len(text)]
    return WrappedFile(name, tuple(restore(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)))
