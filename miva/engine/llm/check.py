"""Whether an answer says numbers or names that stand nowhere in what it was made from. Pure.

What it finds is made up for certain or from elsewhere; what it does not find need not be true: a wrong statement made
of right words passes. Where a script has no capital letters only numbers are looked at; in German, which gives every
noun one, of single words only acronyms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from miva.engine.llm.citations import citations
from miva.engine.llm.common_words import COMMON_WORDS
from miva.engine.llm.numbers import Known, numbers
from miva.engine.llm.own_counts import without_own_counts
from miva.engine.text import fold

_LIST_NUMBER = re.compile(
    r"(?m)^\s*(?:[-*•#]+\s+)?(?:(?:step|schritt)\s+\d{1,2}(?!\w|[.,]\d)|[(\[]?\d{1,2}[.)\]](?=\s))", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_](?:[\w]|['’&.-](?=\w))*")
_SENTENCE_START = re.compile(r"(?:\A|[.!?…:;]|\n)[\s\"'“”‘’«»„(\[*_#>•-]*\Z")
_POSSESSIVE = re.compile(r"(?:['’]s|['’])\Z")
_ORDINARY_END = re.compile(
    r"(?:ally|ently|antly|ably|ibly|ously|fully|lessly|ively|arily|edly|ingly|tions?|ments?|ness)\Z"
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_GERMAN_WORDS = "der die das und ist nicht ein eine den dem mit fur auf von wird werden wurde sind im zu sich es sie er"
_GERMAN = frozenset(_GERMAN_WORDS.split())
_ENGLISH_WORDS = "the and is of to in a was are with for that on by from were it as"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_ALSO_WORDS = frozenset({"WHO", "US", "IT"})
"""Names that are common words but for their capitals."""
_SIGNS = {
    "€": ("eur", "euro", "euros"),
    "$": ("usd", "dollar", "dollars"),
    "£": ("gbp", "pound", "pounds"),
    "¥": ("jpy", "yen"),
    "°C": ("celsius",),
    "°F": ("fahrenheit",),
}
"""What an answer may write out."""
_LEAST_STEM = 4
_MOST_ENDING = 3
_MOST_INFLECTION = 2  # contract, contracts; of a word that need not be a name


class Context:
    """Everything an answer may take its numbers and names from: the passages given, the question, the history."""

    def __init__(self, text: str, pages: Sequence[int] = (), passages: int = 0) -> None:
        """`pages` are those that may be cited as [p. N], `passages` is how many passages were given, from 1 on."""
        even = _even(text)
        self._numbers = Known(even)
        self._pages = frozenset(pages)
        self._passages = passages
        said = citations(even)
        self._named = self._pages.union(said.named, said.cited)
        words = [_bare(match[0]) for match in _WORD.finditer(even)]
        words += [word.replace(".", "") for word in words if "." in word]  # the U.S. is the US
        self._folded = {word.lower() for word in words} | {
            part.lower() for word in words for part in re.split(r"[-.&'’]", word) if part
        }
        self._folded.update(*(names for sign, names in _SIGNS.items() if sign in even))
        self._capital = {word.lower() for word in words if word[0].isupper()}
        self._stems: dict[str, list[str]] = {}
        for word in self._folded:
            if len(word) >= _LEAST_STEM:
                self._stems.setdefault(word[:_LEAST_STEM], []).append(word)
        # The first letters of its words, so that "WHO" may stand for the World Health Organization.
        self._initials = "".join(word[0] for word in words if word[0].isupper())
        self._acronyms = _ALSO_WORDS.intersection(words)
        self._is_german = _is_german(words)

    def unsupported(self, text: str) -> list[str]:
        """The numbers, names and cited pages of `text` that are not known here, as they are written there."""
        said = citations(_even(text))
        wrong = [page for page in said.cited if self._pages and page not in self._pages]
        wrong += [page for page in said.named if page not in self._named]
        found = [f"page {page}" for page in wrong]
        found += [f"passage {number}" for number in said.passages if not self._gave(number)]
        plain = without_own_counts(_LIST_NUMBER.sub(" ", said.rest))
        found += [number.written for number in numbers(plain) if not self._numbers.holds(number)]
        found += self._names(plain)
        return list(dict.fromkeys(found))

    def _gave(self, passage: int) -> bool:
        return 1 <= passage <= self._passages or passage in self._numbers

    def _names(self, text: str) -> list[str]:
        found = []
        german = self._is_german or _is_german(_WORD.findall(text))
        last_end, last_was_new = -1, False
        for match in _WORD.finditer(text):
            word = _bare(match[0])
            between = text[last_end : match.start()] if last_end >= 0 else "\n"
            follows_new = last_was_new and between == " "
            common = _is_common(word) or (german and word.lower() in _GERMAN)
            is_new = any(char.isupper() for char in word) and not common and not self._knows(word)
            last_end, last_was_new = match.end(), is_new
            if not is_new:
                continue
            starts = _SENTENCE_START.search(text[max(0, match.start() - 12) : match.start()]) is not None
            if starts and word[1:].islower() and (_ORDINARY_END.search(word) or self._inflects(word.lower())):
                continue
            if german and not _is_acronym(word) and not follows_new:
                continue
            found.append(word)
        return found

    def _knows(self, word: str) -> bool:
        lower = word.lower()
        if word in _ALSO_WORDS:
            return word in self._acronyms or word in self._initials
        if lower in self._folded or lower.replace(".", "") in self._folded:
            return True
        if lower in _MONTHS:
            return _MONTHS.index(lower) + 1 in self._numbers or lower[:3] in self._folded
        if _is_acronym(word):
            letters = re.sub(r"[\W\d]", "", word)
            return lower.rstrip("s") in self._folded or (len(letters) > 1 and letters.rstrip("s") in self._initials)
        parts = [part for part in re.split(r"[-.&'’]", lower) if part]
        if len(parts) > 1 and all(part in self._folded or part in COMMON_WORDS for part in parts):
            return True
        # Germany and Germans, Paris and Parisian: one begins with the other.
        return any(other in self._capital for other in self._near(lower, _MOST_ENDING))

    def _inflects(self, lower: str) -> bool:
        """Whether this is a form of a word that is known or common, as contracts is of contract."""
        return lower.removesuffix("s") in COMMON_WORDS or any(self._near(lower, _MOST_INFLECTION))

    def _near(self, lower: str, ending: int) -> Iterator[str]:
        """The known words that begin with this one, or with which it begins, and whose ends are at most so long."""
        stem = lower.removesuffix("s")
        for other in self._stems.get(lower[:_LEAST_STEM], ()):
            is_near = abs(len(stem) - len(other)) <= ending and min(len(stem), len(other)) >= _LEAST_STEM
            if is_near and (other.startswith(stem) or stem.startswith(other)):
                yield other


def unsupported(text: str, context: str, pages: Sequence[int] = ()) -> list[str]:
    """The numbers, names and (where `pages` are given) cited pages of `text` that stand nowhere in `context`.

    Numbers are the same in any notation: 1,234 and 1 234 and 1234; 2.5 million and 2,500,000; twelve and 12.
    """
    return Context(context, pages).unsupported(text)


def _even(text: str) -> str:
    """Without accents, compatibility forms and Markdown's emphasis."""
    return re.sub(r"\*\*|__|`", "", fold(unicodedata.normalize("NFKC", text)))


def _bare(word: str) -> str:
    return _POSSESSIVE.sub("", word) or word


def _is_common(word: str) -> bool:
    return word.lower() in COMMON_WORDS and word not in _ALSO_WORDS


def _is_acronym(word: str) -> bool:
    """Two or more capitals, as NATO, mRNA, U.S. or H2O."""
    return sum(char.isupper() for char in word) >= 2 and not re.fullmatch(r"(?:[A-Z][a-z]+[-'’]?)+", word)


def _is_german(words: Sequence[str]) -> bool:
    lower = [word.lower() for word in words]
    german = sum(word in _GERMAN for word in lower)
    return german >= 2 and german > sum(word in _ENGLISH for word in lower)
