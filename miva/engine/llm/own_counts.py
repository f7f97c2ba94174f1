"""Numbers with which an answer counts its own list: “There are three points: …”; they stand nowhere else. Pure."""

from __future__ import annotations

import re

_COUNTS = "two three four five six seven eight nine ten eleven twelve"
_VALUES = {word: number for number, word in enumerate(_COUNTS.split(), 2)}
# Words for the entries of any list; a list of anything else must be there to be counted.
_ENTRY = re.compile(
    r"\b(?:points?|things|reasons|facts|items|steps|parts|aspects|ways|topics|examples|findings|conditions|options"
    r"|categories|types|kinds|punkte|dinge|grunde|schritte|teile)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    rf"(?<![\w.,-])(?P<count>{'|'.join(_VALUES)}|[2-9]|1[0-2])"
    r"(?P<what> [^.,:;!?()\n]{1,60}):(?P<list>[^\n]{0,2000})",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s*+,\s*+(?:(?:and|or|und|oder)\s)?|\s++(?:and|or|und|oder)\s")


def without_own_counts(text: str) -> str:
    """`text` without the numbers that say how many entries follow, where so many do or the list is yet to come."""
    return _COUNTED.sub(_without, text)


def _without(match: re.Match[str]) -> str:
    entries = match["list"].strip()
    count = _VALUES.get(match["count"].lower()) or int(match["count"])
    if entries:
        between = re.compile(r";") if ";" in entries else _BETWEEN
        is_own = len(between.split(entries)) == count
    else:
        is_own = _ENTRY.search(match["what"]) is not None
    return match[0][len(match["count"]) :] if is_own else match[0]
