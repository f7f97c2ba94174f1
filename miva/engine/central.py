"""Which sentences of some are central: those whose words the others have most often."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable

from miva.engine.passages import ends_sentence, is_contents_line
from miva.engine.stores.base import Passage
from miva.engine.text import count_tokens, query_terms

# A sentence that begins with one of these goes on from the one before it.
_LEANING_WORDS = """
this that these those it its they their them he his she her such both however therefore thus hence also but and or so
then moreover furthermore instead consequently similarly otherwise nevertheless additionally
"""
_LEANING = frozenset(_LEANING_WORDS.split())
_REMARK = re.compile(r"[(\[][^()\[\]]*[)\]]\W*")
"""Nothing but a remark in brackets: a reference to somewhere else."""


def first_sentence(passages: list[Passage]) -> Passage | None:
    """The first whole sentence, better one that leans on nothing and asks nothing; what goes on from the page before is
    passed over."""
    following = [passage for passage in passages if not passage.heading]
    whole = [passage for passage in following if is_whole(passage)]
    best = [passage for passage in whole if not _leans(passage) and not passage.text.endswith("?")]
    return next(iter(best or whole or following), None)


def most_central(part: list[Passage], may_be: Callable[[Passage], bool]) -> Passage | None:
    """The sentence whose words the others of its part have most often; of two alike the earlier one."""
    return max(_scored(part, may_be), key=lambda scored: scored[0], default=(0.0, None))[1]


def _scored(part: list[Passage], may_be: Callable[[Passage], bool]) -> list[tuple[float, Passage]]:
    """How central each sentence is that may be chosen, in reading order.

    Average word probability, as in SumBasic (Nenkova and Vanderwende 2005), with a small advantage for the beginning,
    and for a sentence that does not lean on the one before it.
    """
    words = [query_terms(passage.text) for passage in part]
    frequency = Counter(word for sentence in words for word in set(sentence))
    scored = []
    for place, (passage, sentence) in enumerate(zip(part, words, strict=True)):
        if sentence and may_be(passage):
            shared = sum(frequency[word] for word in sentence) / len(sentence) / len(part)
            scored.append((shared + 0.1 / (1 + place) - (0.2 if _leans(passage) else 0.0), passage))
    return scored


def most_telling(passages: list[Passage], most: int) -> list[Passage]:
    """The most central whole sentences, at most so many, in reading order; without any, whatever has letters."""
    for is_good in (is_whole, has_letters):
        scored = _scored([one for one in passages if not one.heading], is_good)
        if scored:
            best = heapq.nlargest(most, scored, key=lambda one: one[0])
            return sorted((passage for _, passage in best), key=lambda passage: passage.number)
    return []


def is_whole(passage: Passage) -> bool:
    """Whether it looks like a sentence from its first word to its last, and says more than a few words."""
    text = passage.text
    begins = text[0].isalnum() or text[0] in "\"'“‘«„([¿¡「『"
    begins = begins and not _REMARK.fullmatch(text) and not is_contents_line(text)
    return begins and not text[0].islower() and ends_sentence(text) and count_tokens(text) >= 5


def _leans(passage: Passage) -> bool:
    return passage.text.split(maxsplit=1)[0].lower().rstrip(",") in _LEANING


def has_letters(passage: Passage) -> bool:
    """Whether there is a word in it."""
    return any(map(str.isalpha, passage.text))
