"""Where the sentences of running text end, and where a too long one is cut."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from miva.engine.text import TOKEN_ANY, TOKEN_ASCII, count_tokens

# The look-behind and the possessive "++" keep a page of nothing but full stops linear.
_STOP = re.compile(r"(?<![.!?…؟۔।])[.!?…؟۔।]++[\"'”’»)\]]*+(?=\s)|[。！？｡]+[\"”’」』）]*")
_ABBREVIATED = """
    mr mrs ms dr prof st vs fig figs no nos vol pp p ed eds jr sr inc ltd co corp dept est approx ca cf al gen col lt
    sgt rev hon sen rep gov capt maj eq sec ch art jan feb mar apr jun jul aug sep sept oct nov dec bzw z.b e.g i.e u.s
    pub stat rd ave blvd tel
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_ENUMERATOR = re.compile(r"\(?(?:\d{1,3}(?:\.\d{1,3})*|[ivxlc]{1,5}|[IVXLC]{1,5}|[a-z])")
"""What counts the points of a list, before its full stop: "1", "2.1", "IV", "a"."""
_ORDINAL = re.compile(r"\b(?:der|die|das|den|dem|des|im|vom|zum|zur|beim)\s+\d{1,3}\Z", re.IGNORECASE)
"""What German writes before the full stop of an ordinal number: "im 19. Jahrhundert"."""
_DAY = re.compile(r"\b\d{1,2}\Z")
_MONTH = re.compile(
    r"\s{1,8}(?:januar|jänner|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember)\b",
    re.IGNORECASE,
)


def split(page: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of the running text between two offsets, each without the white space around it."""
    at = start
    for stop in _STOP.finditer(page, start, end):
        if stop.end() < end and _goes_on(page, at, stop, end, opens=at == start):
            continue
        yield at, stop.end()
        at = stop.end()
        while at < end and page[at].isspace():
            at += 1
    if at < end:
        yield at, end


def bounded(page: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """The sentence itself, or, where it has more than `most` tokens, pieces of it that have not."""
    text = page[start:end]
    if len(text) <= most or count_tokens(text) <= most:
        yield start, end
        return
    tokens = [token.start() for token in (TOKEN_ASCII if text.isascii() else TOKEN_ANY).finditer(text)]
    first = 0
    while len(tokens) - first > most:
        at = tokens[first]
        cut = _cut(text, at, tokens[first + most])
        yield start + at, start + at + len(text[at:cut].rstrip())
        first = bisect_left(tokens, cut, first + 1)
    yield start + tokens[first], end


def _cut(text: str, at: int, most: int) -> int:
    """Where a piece from `at` on ends: at the last line end up to `most`, or the last white space, or there.

    What lies in its first half is no place: pieces would become small, and many.
    """
    half = (at + most) // 2
    line = text.rfind("\n", half, most) + 1
    if line:
        return line
    return next((i for i in range(most, half, -1) if text[i - 1].isspace()), most)


def _goes_on(page: str, at: int, stop: re.Match[str], end: int, *, opens: bool) -> bool:
    """Whether the full stop belongs to an abbreviation, an initial, an ordinal number or, where its sentence `opens` a
    block, to the number of a point in a list, or the sentence goes on in small letters."""
    if stop[0][0] not in ".…":
        return False
    after = page[stop.end() : min(end, stop.end() + 8)].lstrip()
    if after[:1].islower():
        return True
    if opens and _ENUMERATOR.fullmatch(page, at, stop.start()):
        return True
    before = page[max(at, stop.start() - 16) : stop.start()]
    is_numbered = before[-1:].isdigit()
    if is_numbered and (_ORDINAL.search(before) or (_DAY.search(before) and _MONTH.match(page, stop.end(), end))):
        return True
    word = before.rsplit(maxsplit=1)[-1:]
    if not word:
        return False
    bare = word[0].lstrip("(\"'“‘[")
    return (len(bare) == 1 and bare.isupper()) or bare.lower() in _ABBREVIATIONS or bare.endswith("nr")
