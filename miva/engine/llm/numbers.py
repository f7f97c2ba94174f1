"""The numbers of a text, whatever their notation, as values that can be compared. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_WORDS = {word: number for number, word in enumerate(_ONES.split())}
_TENTHS = " - twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: number * 10 for number, word in enumerate(_TENTHS.split(), 1) if number > 1}
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_ORDINAL = {word: number for number, word in enumerate(_ORDINALS.split())}
_SCALES = {
    **dict.fromkeys(("hundred",), 2),
    **dict.fromkeys(("thousand", "thousands", "tausend", "mille"), 3),
    **dict.fromkeys(("million", "millions", "mn", "mio", "millionen", "millones"), 6),
    **dict.fromkeys(("billion", "billions", "bn", "mrd", "milliarde", "milliarden", "milliard", "milliards"), 9),
    **dict.fromkeys(("trillion", "trillions"), 12),
    **dict.fromkeys(("lakh", "lakhs"), 5),
    **dict.fromkeys(("crore", "crores"), 7),
    "万": 4,
    "萬": 4,
    "亿": 8,
    "億": 8,
}
_MOST_DIGITS = 28  # more are no quantity, and more than Decimal reckons with; they are known as they are written
_MOST_SCALES = 3  # "two hundred thousand million"; more of them is no number
# Digits behind a Latin letter belong to a name, as in H2O or B12; a space groups them only by threes.
_DIGITS = re.compile(
    r"(?<![A-Za-z_\d])(?<!\d[.,])"
    r"(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)(?:[.,٫]\d+)?|\d+(?:['’.,٬٫]\d+)*)"
)
_FIRST_NINE = "|".join(list(_WORDS)[1:10])
_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<one>{_FIRST_NINE}))?|(?P<word>{'|'.join(_WORDS)}))\b", re.IGNORECASE
)
_ORDINAL_WORD = re.compile(rf"\b(?:{'|'.join(_ORDINAL)})\b", re.IGNORECASE)
_SCALE = re.compile(r"[ \u00a0-]?(?P<scale>[A-Za-z]+|[万萬亿億])\.?")
_PERCENT = re.compile(r"\s?(?:%|٪|per ?cent\b|percent|prozent\b|pour cent\b|por ciento\b)", re.IGNORECASE)
_ANY_PERCENT = re.compile(r"[%٪]|per ?cent|prozent|pour cent|por ciento", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number of a text: as it is `written`, and the `values` it may have (1.234 is one thing in English and another
    in German); `parts` are its runs of digits where it may be several numbers: a date, or some with spaces between."""

    written: str
    values: frozenset[Decimal]
    parts: tuple[Decimal, ...]
    percent: bool = False


def numbers(text: str) -> list[Number]:
    """The numbers in `text` in order, in digits and in English words (not the word “one”: it is mostly a pronoun)."""
    text = unicodedata.normalize("NFKC", text)
    found = [(match.start(), _number(text, match)) for match in _DIGITS.finditer(text)]
    for match in _WORD.finditer(text):
        value = _TENS[match["tens"].lower()] if match["tens"] else _WORDS[match["word"].lower()]
        value += _WORDS[match["one"].lower()] if match["one"] else 0
        if match[0].lower() != "one" or _scale(text, match.end())[0]:
            found.append((match.start(), _made(text, match, frozenset({Decimal(value)}))))
    return [number for _, number in sorted(found, key=lambda each: each[0])]


class Known:
    """The numbers that a text knows."""

    def __init__(self, text: str) -> None:
        self._values: set[Decimal] = {Decimal(1)} if re.search(r"\bone\b", text, re.IGNORECASE) else set()
        self._written = set()
        for number in numbers(text):
            self._values |= number.values
            self._values.update(number.parts)
            self._written.add(number.written)
        for match in _ORDINAL_WORD.finditer(text):
            self._values.add(Decimal(_ORDINAL[match[0].lower()]))
        self._percent = _ANY_PERCENT.search(text) is not None

    def holds(self, number: Number) -> bool:
        """Whether the text knows this number; a percentage only where it speaks of percentages at all."""
        if number.percent and not self._percent:
            return False
        if number.written in self._written or number.values & self._values:
            return True
        return bool(number.parts) and all(part in self._values for part in number.parts)

    def __contains__(self, value: int) -> bool:
        return Decimal(value) in self._values


def _number(text: str, match: re.Match[str]) -> Number:
    values = _values(match[0])
    # Spaces may group digits or part numbers; a mark parts them only where there is no other reading. 2,500 is not 2.
    is_row = not values or re.fullmatch(r"[\d\s]+\s[\d\s]+", match[0])
    runs = re.findall(r"\d+", match[0]) if is_row else []
    parts = tuple(Decimal(run) for run in runs if len(run) <= _MOST_DIGITS)
    return _made(text, match, values, parts)


def _made(text: str, match: re.Match[str], values: frozenset[Decimal], parts: tuple[Decimal, ...] = ()) -> Number:
    scale, end = _scale(text, match.end())
    if scale:
        return Number(text[match.start() : end], frozenset(value * 10**scale for value in values), ())
    return Number(match[0], values, parts, _PERCENT.match(text, match.end()) is not None)


def _scale(text: str, at: int) -> tuple[int, int]:
    """The power of ten that the words behind a number stand for (0 without one), and where they end."""
    power = 0
    for _ in range(_MOST_SCALES):
        match = _SCALE.match(text, at)
        more = _SCALES.get(match["scale"].lower(), 0) if match else 0
        if not match or not more:
            break
        power, at = power + more, match.end("scale")
    return power, at


def _values(written: str) -> frozenset[Decimal]:
    """What one number in digits may mean; nothing where it can be no single number, as a date."""
    found = set()
    marks = re.findall(r"\D", written)
    groups = re.findall(r"\d+", written)
    if len(written) - len(marks) > _MOST_DIGITS:
        return frozenset()
    if not marks:
        return frozenset({Decimal(written)})
    whole_groups = len(groups[0]) <= 3 and all(len(group) in (2, 3) for group in groups[1:-1]) and len(groups[-1]) == 3
    if len(set(marks)) == 1 and marks[0] != "٫" and whole_groups:
        found.add(Decimal("".join(groups)))
    decimal = marks[-1] in ".,٫" and marks.count(marks[-1]) == 1
    if decimal and len(marks) == 1:
        found.add(Decimal(f"{groups[0]}.{groups[1]}").normalize())
    elif decimal and len(set(marks[:-1])) == 1 and all(len(group) in (2, 3) for group in groups[1:-1]):
        found.add(Decimal(f"{''.join(groups[:-1])}.{groups[-1]}").normalize())
    return frozenset(found)
