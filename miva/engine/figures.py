"""Questions that a figure answers ("how many", "when", "wie lange"), and the sentences that have one."""

from __future__ import annotations

import re

from miva.engine.text import fold, plain_words

_ASKING = re.compile(
    r"\b(?:how (?:many|much|long|old|far|tall|high|large|big|often|wide|deep|heavy|fast)|when"
    r"|(?:what|which) (?:year|date|day|month|century|decade|percent(?:age)?|share|proportion|number|price|age)"
    r"|wie (?:viele?|lange|hoch|alt|oft|weit|gro(?:ss|ß)|schwer|teuer)|wieviele?|wann"
    r"|combien|quand|quelle (?:date|annee|heure)|cuant[oa]s?|cuando|quant[ioae]|hoeveel|wanneer)\b",
    re.IGNORECASE,
)
_NUMBER_WORDS = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty forty fifty
    hundred thousand million billion half twice dozen once
    zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig hundert tausend millionen
    deux trois quatre cinq sept huit neuf dix onze douze treize vingt cent mille
    dos tres cuatro cinco seis siete ocho nueve diez doce veinte cien mil
"""
_NUMBERS = frozenset(fold(_NUMBER_WORDS).split())


def asks_for_one(question: str) -> bool:
    """Whether a number, an amount or a date is what the question asks for, as far as its words tell."""
    return _ASKING.search(fold(question)) is not None


def has_one(text: str) -> bool:
    """Whether a text has a digit or a number that is written out."""
    return any(map(str.isdigit, text)) or not _NUMBERS.isdisjoint(plain_words(text).split())
