"""What counts as a hit, an answer, a refusal and a true quote. Pure functions over what was said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

REFUSAL = "I did not find this"
"""How an answer begins that says the document does not tell (design, section 5)."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True, slots=True)
class Source:
    """One place that an answer names: a page (from 1) of a file, the words quoted from it, where they begin and end.

    `start` and `end` count characters of the page's text; both are None where the source has none.
    """

    file: str
    page: int | None
    quote: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one question: the answer's text, its sources, best first; seconds to its beginning and its end."""

    text: str
    sources: tuple[Source, ...] = ()
    first_s: float = 0.0
    done_s: float = 0.0


def plain(text: str) -> str:
    """Lower-cased, without articles, with each stretch of white space, punctuation and symbols as one space."""
    spaced = "".join(letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in text.lower())
    return " ".join(_ARTICLES.sub(" ", spaced).split())


def contains(text: str, answers: Iterable[str]) -> bool:
    """Whether any of the answers stands in the text, both made `plain`."""
    told = plain(text)
    return any(gold in told for gold in map(plain, answers) if gold)


def contains_words(text: str, answers: Iterable[str]) -> bool:
    """The same, with whole words only: “4” does not stand in “1943”."""
    told = f" {plain(text)} "
    return any(f" {gold} " in told for gold in map(plain, answers) if gold)


def page_hit(retrieved: Sequence[tuple[str, int | None]], file: str, pages: Iterable[int], first: int) -> bool:
    """Whether one of the evidence's pages is among the first so many (file, page) that were retrieved."""
    evidence = {(file, page) for page in pages}
    return any(place in evidence for place in retrieved[:first])


def refuses(text: str) -> bool:
    """Whether the answer begins by saying that the document does not tell."""
    return text.lstrip().startswith(REFUSAL)


def quote_problem(source: Source, pages: Sequence[str]) -> str:
    """Why a quote does not stand where its source says, in words; "" where it does. `pages` are its file's texts.

    White space may differ. A source of a file without pages names none, and any of the texts may hold its quote.
    """
    quote = one_line(source.quote)
    if not quote:
        return "the quote is empty"
    if source.page is None:
        texts = list(pages)
    elif 1 <= source.page <= len(pages):
        texts = [pages[source.page - 1]]
    else:
        return f"there is no page {source.page} among {len(pages)}"
    if not any(quote in one_line(text) for text in texts):
        return f"page {source.page} does not hold the quote"
    if (source.start is None) != (source.end is None):
        return "it says only one of start and end"
    if source.start is not None and source.end is not None:
        start, end = source.start, source.end
        if not any(_is_cut(text, start, end, quote) for text in texts):
            return f"characters {start} to {end} of page {source.page} are not the quote"
    return ""


def _is_cut(text: str, start: int, end: int, quote: str) -> bool:
    """Whether these characters, no white space around them, are the quote."""
    if not 0 <= start < end <= len(text):
        return False
    cut = text[start:end]
    return cut == cut.strip() and one_line(cut) == quote


def one_line(text: str) -> str:
    """The text with each stretch of white space as one space."""
    return " ".join(text.split())


def share(kept: Sequence[bool]) -> float:
    """Per cent of True; 0 where there is nothing."""
    return 100.0 * sum(kept) / len(kept) if kept else 0.0


def quantile(values: Sequence[float], part: float) -> float:
    """The value below or at which this part (0 to 1) of them lies; raises ValueError where there is none."""
    if not values:
        raise ValueError("There is nothing to take a quantile of.")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
