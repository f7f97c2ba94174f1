"""Questions about what something is or stands for: which of their words only ask, and what a definition looks like."""

from __future__ import annotations

import re

from miva.engine.text import STOP_WORDS, one_line

_ASKING = re.compile(
    r"\b(?:(?:stands?|short) for|(?:an? |the )?(?:acronym|abbreviation)(?: (?:for|of))?|mean(?=\W*\Z))\b", re.IGNORECASE
)
"""What asks for a meaning and is no topic."""
_QUESTION = re.compile(
    r"\W*(?:what(?:['’]s| is| are| does| do)|define)\s+(?:an?\s+|the\s+)?"
    r"(?:(?:acronym|abbreviation)\s+)?[\"'“‘]?(?P<named>[\w-]+(?:\s+[\w-]+){0,2}?)[\"'”’]?"
    r"(?P<short>\s+(?:an?\s+|the\s+)?(?:stand(?:s|ing)?|short|acronym|abbreviation)(?:\s+(?:for|of))?)?(?:\s+mean)?\W*\Z",
    re.IGNORECASE,
)
_OPEN, _SHUT = "[\"'“‘«]?", "[\"'”’»,]{0,2}"


def topic(question: str) -> str:
    """The question without the words that only ask for a meaning ("stand for"); the question where nothing is left."""
    rest = _ASKING.sub(" ", question)
    return rest if rest.strip(" ?.!") else question


def definition_of(question: str) -> re.Pattern[str] | None:
    """A pattern found in a sentence on one line that defines what the question asks about: "X means", "is called X".

    None where the question asks for something else, or for what has a name of more than three words.
    """
    asked = _QUESTION.match(one_line(question))
    words = asked["named"].split() if asked else []
    if asked is None or all(word.lower() in STOP_WORDS for word in words):
        return None
    named = r"\s".join(map(re.escape, words)).removesuffix("s") + r"(?:s|\(s\))?"
    begins = rf"(?:^\W*(?:\d[\d.]*\s\W*)?|\b(?:an?|the)\s{_OPEN}|[\"“‘«(])"
    ways = [
        rf"\b{named}{_SHUT}(?:\s\([^()]*\))?,?\s(?:means?|refers?\sto|stands?\sfor|denotes?)\s",
        rf"{begins}{named}{_SHUT}(?:\s\([^()]*\))?,?\s(?:is|are)\s(?!not\b)",
        rf"{begins}{named}(?:\s\([^()]*\))?,\s(?:an?|the|which|who|or)\s",
        rf"\b(?:called|termed|named|known\sas|defined\sas)\s(?:an?\s|the\s)?{_OPEN}{named}\b",
    ]
    if len(words) == 1 and words[0].isalpha() and (asked["short"] or words[0].isupper()):
        first, most = words[0][0], len(words[0]) + 2
        ways += [
            rf"\b{named}\s?\({_OPEN}{first}[\w-]*\s\w",
            rf"\b{first}[\w-]*(?:\s[\w'’&-]+){{1,{most}}}\s\((?:the\s)?{_OPEN}{named}{_SHUT}\)",
        ]
    return re.compile("|".join(ways), re.IGNORECASE)
