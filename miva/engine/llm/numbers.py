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
_ORDINAL |= {f"{word.removesuffix('y')}ieth": number for word, number in _TENS.items()}
_POWERS = {
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
_SCALES = {word: 10**power for word, power in _POWERS.items()} | {"dozen": 12}
_LETTERS = {"k": 10**3, "m": 10**6, "b": 10**9}
_MOST_DIGITS = 28  # more are no quantity, and more than Decimal reckons with; they are known as they are written
_MOST_SCALES = 3  # "two hundred thousand million"; more of them is no number
# Digits behind a Latin letter belong to a name, as in H2O or B12; a space groups them only by threes.
_DIGITS = re.compile(
    r"(?<![A-Za-z_\d])(?<!\d[.,])"
    r"(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)(?:[.,٫]\d+)?|\d+(?:['’.,٬٫]\d+)*)"
)
_FIRST_NINE = "|".join(list(_WORDS)[1:10])
_FIRST_NINE_ORDINALS = "|".join(list(_ORDINAL)[1:10])
_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<one>{_FIRST_NINE})|-(?P<nth>{_FIRST_NINE_ORDINALS}))?"
    rf"|(?P<word>{'|'.join(_WORDS)})|(?P<half>half)(?: an?)?(?= (?:dozen|[mb]illion|hundred|thousand))"
    r"|an?(?= (?:dozen|hundred|thousand|[mbtr]{1,2}illion|lakh|crore)\b))\b",
    re.IGNORECASE,
)
_ORDINAL_WORD = re.compile(rf"(?<!ty-)\b(?:{'|'.join(_ORDINAL)})\b", re.IGNORECASE)
_SCALE = re.compile(r"[ \u00a0-]?(?P<scale>[A-Za-z]+|[万萬亿億])\.?")
_LETTER = re.compile(r"(?P<gap>[ \u00a0]?)(?P<letter>[kKmMbB])(?![\w²³])")
_MONEY_BEFORE = re.compile(r"(?:[€$£¥₹]|\b(?:EUR|USD|GBP|CHF|JPY|INR|CAD|AUD))[ \u00a0]?\Z", re.IGNORECASE)
_MONEY_BEHIND = re.compile(
    r"[ \u00a0]?(?:[€$£¥₹]|(?:eur|euros?|usd|dollars?|gbp|pounds?|chf|francs?)\b)", re.IGNORECASE
)
_YEAR_BEFORE = re.compile(r"(?<![\d.,/–-])(?P<year>(?P<century>1\d|20)(?P<short>\d\d))\s?[-–/]\s?\Z", re.ASCII)
_MORE_OF_A_DATE = re.compile(r"\s?[-–/]\s?\d")
_MONTHS = 12
# A part of something that is a percentage as well; not the first half of a year.
_SHARES = {
    50: re.compile(
        r"(?<!first )(?<!second )(?<!other )(?<!latter )"
        r"\b(?:by half|half (?:of|the|its|their|all|as)|halv(?:ed?|es|ing))\b",
        re.IGNORECASE,
    ),
    25: re.compile(r"\b(?:by a quarter|(?:a|one) quarter of)\b", re.IGNORECASE),
    75: re.compile(r"\bthree[- ]quarters\b", re.IGNORECASE),
}
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
        if match[0].lower() != "one" or _scaled(text, match)[0]:
            found.append((match.start(), _made(text, match, frozenset({_in_words(match)}))))
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
        self._shares = {Decimal(share) for share, words in _SHARES.items() if words.search(text)}
        self._percent = _ANY_PERCENT.search(text) is not None

    def holds(self, number: Number) -> bool:
        """Whether the text knows this number; a percentage only where it speaks of percentages at all, or of a half."""
        if number.percent and number.values & self._shares:
            return True
        if number.percent and not self._percent:
            return False
        if number.written in self._written or number.values & self._values:
            return True
        return bool(number.parts) and all(part in self._values for part in number.parts)

    def __contains__(self, value: int) -> bool:
        return Decimal(value) in self._values


def _in_words(match: re.Match[str]) -> Decimal:
    if match["half"]:
        return Decimal("0.5")
    if match["word"]:
        return Decimal(_WORDS[match["word"].lower()])
    if not match["tens"]:
        return Decimal(1)  # a million
    ones = _WORDS[match["one"].lower()] if match["one"] else _ORDINAL[match["nth"].lower()] if match["nth"] else 0
    return Decimal(_TENS[match["tens"].lower()] + ones)


def _number(text: str, match: re.Match[str]) -> Number:
    if found := _short_year(text, match):
        return found
    values = _values(match[0])
    # Spaces may group digits or part numbers; a mark parts them only where there is no other reading. 2,500 is not 2.
    is_row = not values or re.fullmatch(r"[\d\s]+\s[\d\s]+", match[0])
    runs = re.findall(r"\d+", match[0]) if is_row else []
    parts = tuple(Decimal(run) for run in runs if len(run) <= _MOST_DIGITS)
    return _made(text, match, values, parts)


def _short_year(text: str, match: re.Match[str]) -> Number | None:
    """The 21 of 2019-21 as 2021; where it may be a month as well, 2001-12, either."""
    if len(match[0]) != 2 or _MORE_OF_A_DATE.match(text, match.end()):
        return None
    before = _YEAR_BEFORE.search(text[max(0, match.start() - 9) : match.start()])
    short = int(match[0])
    if not before or short <= int(before["short"]):
        return None
    year = Decimal(int(before["century"]) * 100 + short)
    if short <= _MONTHS:
        return Number(match[0], frozenset({year, Decimal(short)}), ())
    return Number(before[0] + match[0], frozenset({year}), ())


def _made(text: str, match: re.Match[str], values: frozenset[Decimal], parts: tuple[Decimal, ...] = ()) -> Number:
    factors, end = _scaled(text, match)
    if factors:
        return Number(text[match.start() : end], frozenset(value * each for value in values for each in factors), ())
    return Number(match[0], values, parts, _PERCENT.match(text, match.end()) is not None)


def _scaled(text: str, number: re.Match[str]) -> tuple[tuple[int, ...], int]:
    """What a number may be times, by the words or the letter behind it (nothing without), and where they end."""
    factor, at = 1, number.end()
    for _ in range(_MOST_SCALES):
        match = _SCALE.match(text, at)
        more = _SCALES.get(match["scale"].lower()) if match else None
        if not match or not more:
            break
        factor, at = factor * more, match.end("scale")
    return ((factor,), at) if factor > 1 else _lettered(text, number)


def _lettered(text: str, number: re.Match[str]) -> tuple[tuple[int, ...], int]:
    """The same for €1.5m and 25k. Of other things than money 5 m are metres, and 5M or 300K may be either."""
    match = _LETTER.match(text, number.end())
    if not match:
        return (), number.end()
    letter, factor = match["letter"], _LETTERS[match["letter"].lower()]
    before = text[max(0, number.start() - 5) : number.start()]
    if _MONEY_BEFORE.search(before) or _MONEY_BEHIND.match(text, match.end()) or (letter == "k" and not match["gap"]):
        return (factor,), match.end()
    is_either = letter.isupper() and not match["gap"]
    return ((1, factor), match.end()) if is_either else ((), number.end())


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
