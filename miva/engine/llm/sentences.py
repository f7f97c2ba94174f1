"""Pieces of a model's answer made into whole sentences, so that each can be checked before it is shown. Pure."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

LONGEST = 2000
"""Characters without an end after which a sentence is given out all the same."""

# Runs are taken whole and from their first character only: no page of dots or blanks is read again from each of them.
_CITED = r"(?:[ \t]*+\[[^\[\]\n]{1,120}+\])*+"
_NEW_LINE = r"[^\S\n]*+\n\s*+(?=\S)"
# A stop with what closes behind it and the citations that follow; a line's end; a full stop of Chinese or Japanese.
_END = re.compile(
    rf"(?<![.!?…؟۔।])[.!?…؟۔।]++[\"'”’»)\]*_]*+{_CITED}(?P<dot>[ \t]++(?=[^\s\[])|{_NEW_LINE})"
    rf"|(?<![。！？｡])[。！？｡]++[\"”’」』）]*+{_CITED}(?P<dense>\s*+)(?=[^\s\[\"”’」』）。！？｡])"
    rf"|(?<!\s)(?P<line>{_NEW_LINE})"
)
_WHOLE = re.compile(rf"[.!?…؟۔।。！？｡][\"'”’»)\]」』）*_]*{_CITED}\s*\Z")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[A-Z]|mrs?|ms|dr|prof|st|vs|figs?|nos?|vol|pp?|pgs?|pag|стр|eds?|jr|sr|inc|ltd|co|corp|approx|ca|cf|al|gen|col|lt|sgt|rev"
    r"|hon|gov|capt|eq|sec|ch|art|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|bzw|nr|z\.\s?b|d\.\s?h|e\.\s?g|i\.\s?e|u\.\s?s)"
    r"|(?:\A|\n)\s*(?:[-*]\s+)?\d{1,3})\.\Z",
    re.IGNORECASE,
)


def is_whole(sentence: str) -> bool:
    """Whether a last sentence has come to its end."""
    return _WHOLE.search(sentence) is not None


def split(text: str) -> list[str]:
    """The sentences of `text`, each with the white space behind it; joined they are `text`."""
    found = []
    at = 0
    while at < len(text):
        end = _boundary(text, at) or len(text)
        found.append(text[at:end])
        at = end
    return found


async def sentences(stream: AsyncIterator[str]) -> AsyncIterator[str]:
    """The same text as `stream`, a whole sentence at a time, each as soon as its end is certain."""
    held = ""
    async for piece in stream:
        held += piece
        at = 0
        while end := _boundary(held, at):
            yield held[at:end]
            at = end
        held = held[at:]
    if held:
        yield held


def _boundary(text: str, at: int) -> int:
    """Where the sentence that begins at `at` certainly ends, white space included; 0 where that cannot be told yet."""
    for end in _END.finditer(text, at, at + LONGEST + 200):
        if end["dot"] is not None and "\n" not in end["dot"]:
            before = text[max(at, end.start() - 12) : end.start() + 1]
            if text[end.end()].islower() or _ABBREVIATED.search(before):
                continue
        if end["line"] is None or text[at : end.start()].strip():
            return end.end()
    if len(text) - at <= LONGEST:
        return 0
    space = max(text.rfind(" ", at + 1, at + LONGEST), text.rfind("\n", at + 1, at + LONGEST))
    return space + 1 if space > 0 else at + LONGEST
