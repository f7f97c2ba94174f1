"""Where an answer says on which page, or in which passage, something stands: in the ways in which models cite. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_N = r"\d{1,5}(?:ff?\b)?(?!\w|\.\d|,\d{3})"
_RANGE = rf"{_N}(?:\s*+[-–—]\s*+{_N})?"
_AND = r"(?:and|or|to|through|und|oder|bis|et|y|e)\b"
_ONE = r"(?:page|p\.|pg\.|seite|pagina|pag\.|стр\.|страниц[аеу]|passage|excerpt)"
_MANY = r"(?:pages|pp\.|pgs\.|seiten|paginas|pagine|passages|excerpts)"
_SHORT = r"(?:pp?|pgs?|pag|s\.|стр)"
_EAST_ASIAN = r"(?<![A-Za-z\d])第\s?\d{1,5}\s?(?:页|頁|ページ)(?![A-Za-z\d])"
# "page 3 and 12 people": behind the word for one page stands one number; commas are trusted only up to an "and".
_IN_PROSE = re.compile(
    rf"(?<!\w)(?:{_ONE}\s*+{_RANGE}"
    rf"|{_MANY}\s*+{_RANGE}(?:(?:\s*+,\s*+{_RANGE})*+\s*+,?\s*+(?:&|{_AND})\s*+{_RANGE})?)|{_EAST_ASIAN}",
    re.IGNORECASE,
)
_WORD = rf"(?:{_MANY}|{_ONE}|{_SHORT})"
_MORE = rf"(?:[,;&/]|{_AND})"
_IN_BRACKETS = re.compile(
    rf"(?<!\w){_WORD}\s*+{_RANGE}"
    rf"(?:\s*+(?:,\s*+)?{_MORE}\s*+(?:{_WORD}\s*+)?{_RANGE}(?=\s*+(?:[])]|{_MORE})))*+|{_EAST_ASIAN}",
    re.IGNORECASE,
)
# "(see page 12)" is what a document says; what else stands in brackets says where the answer is from.
_BRACKETS = re.compile(r"\[[^\[\]\n]{1,200}\]|\((?!\s*(?:see|cf|siehe|vgl|voir|ver)\b)[^()\n]{1,200}\)", re.IGNORECASE)
_PASSAGE = re.compile(r"pass|exc", re.IGNORECASE)


@dataclass
class Citations:
    """The pages that a text `cited` in brackets, those that it `named` elsewhere, and its `passages`; and the `rest` of
    it without them."""

    cited: list[int] = field(default_factory=list)
    named: list[int] = field(default_factory=list)
    passages: list[int] = field(default_factory=list)
    rest: str = ""


def citations(text: str) -> Citations:
    """What is cited in `text`: [p. 3], [p. 3, p. 4], [pp. 3-4], (a.pdf, p. 3), “As page 3 says”, [passage 1]."""
    found = Citations()

    def within(match: re.Match[str]) -> str:
        return _taken(match, found, found.cited)

    text = _BRACKETS.sub(lambda brackets: _IN_BRACKETS.sub(within, brackets[0]), text)
    found.rest = _IN_PROSE.sub(lambda match: _taken(match, found, found.named), text)
    return found


def _taken(match: re.Match[str], found: Citations, pages: list[int]) -> str:
    """Note the numbers of a citation; what is left in its place."""
    kind = pages
    for part in re.findall(r"[^\W\d]+|\d+", match[0]):
        if part.isdigit():
            kind.append(int(part))
        elif not re.fullmatch(_AND, part, re.IGNORECASE):  # [page 3, passage 1] has a word of its own for each
            kind = found.passages if _PASSAGE.match(part) else pages
    return " "
