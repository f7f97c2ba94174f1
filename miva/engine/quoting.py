"""Which words of the documents are quoted, and how far each quote goes on from the sentence that was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice, takewhile

from miva.engine import leaning, listing, tables
from miva.engine.asked import Asked
from miva.engine.passages import ends_sentence
from miva.engine.sentence_ranking import SentenceHit
from miva.engine.stores.base import Index, Passage
from miva.engine.text import count_tokens

QUOTES = 3
_KEEP = 0.45  # a quote must be at least so good, measured by the best one
_READ = 400  # passages of a page among which what follows a sentence is looked for
_LIST_LINES = 5
_HEAD = 3  # passages of a page among which its first sentence stands, behind a running head

_LEAD_IN = re.compile(r"[:\uff1a][\"'”’»)\]]*\Z")
_QUESTION = re.compile(r"[?\u061f\uff1f][\"'”’»)\]]*\Z")
_FRAGMENTS_BEHIND = 2
"""So many lines behind a line that says little by itself are quoted with it, and one before it."""
_BELOW = 1e-6
"""So much less counts what is quoted beside a sentence, so that it stands below it."""


@dataclass(frozen=True)
class Quote:
    """What is quoted of a document, counted from 0 among those asked, and the score of the best sentence in it."""

    document: int
    passage: Passage
    score: float


def quotes(
    hits: Sequence[SentenceHit], documents: Sequence[Asked], listed: tuple[int, Sequence[Passage]] | None = None
) -> list[Quote]:
    """The quotes to show of `hits` (best first, at least one), best first; neighbours are joined as they stand.

    `listed`, a document's number and neighbouring passages of it, is quoted before them.
    """
    joined: list[Quote] = []
    last = -2
    chosen = {(one.document, one.passage.number): one for one in _completed(_best(hits), documents)}
    if listed is not None:
        document, passages = listed
        chosen |= {(document, one.number): Quote(document, one, hits[0].score + _BELOW) for one in passages}
    for one in sorted(chosen.values(), key=lambda q: (q.document, q.passage.number)):
        before, here = (joined[-1] if joined else None), one.passage
        if before and (before.document, before.passage.page, last + 1) == (one.document, here.page, here.number):
            page = documents[one.document].index.page_text(here.page)
            whole = replace(before.passage, text=page[before.passage.start : here.end])
            joined[-1] = Quote(one.document, whole, max(before.score, one.score))
        else:
            joined.append(one)
        last = here.number
    return sorted(joined, key=lambda quote: -quote.score)


def _best(hits: Sequence[SentenceHit]) -> list[SentenceHit]:
    """The best hit, and those behind it that are nearly as good and hold a word of the question."""
    others = hits[1:QUOTES]
    return [hits[0]] + [hit for hit in others if hit.score >= _KEEP * hits[0].score and hit.coverage > 0]


def _completed(hits: Sequence[SentenceHit], documents: Sequence[Asked]) -> list[Quote]:
    """The hits, each with the sentence that says whom it means, the best one with the sentence that goes on about it,
    too, and one that promises more than it says or breaks off with what follows it; nothing twice."""
    whole = {(hit.document, hit.passage.number): Quote(hit.document, hit.passage, hit.score) for hit in hits}
    for hit in hits:
        following = _following(documents[hit.document].index, hit.passage)
        behind = hit.behind if hit is hits[0] else None
        beside = _beside(documents[hit.document].index, hit.passage) if hit is hits[0] else []
        before = hit.before or _columns(documents[hit.document].index, hit.passage)
        for passage in filter(
            None, (before, behind, *beside, *following, _overleaf(documents[hit.document].index, hit.passage))
        ):
            whole.setdefault((hit.document, passage.number), Quote(hit.document, passage, hit.score - _BELOW))
    return list(whole.values())


def _following(index: Index, here: Passage) -> list[Passage]:
    """What belongs to a question, a lead-in or a bare label: the next passage, or the first lines of the list that
    follows a lead-in or a question. A heading begins something else."""
    is_label = not (_LEAD_IN.search(here.text) or _QUESTION.search(here.text))
    if is_label and not _is_label(here.text):
        return []
    behind = [one for one in index.page_passages(here.page, _READ) if one.number > here.number]
    if not behind:  # at the foot of its page
        behind = list(dropwhile(lambda one: one.heading, index.page_passages(here.page + 1, _HEAD + _LIST_LINES)))
    following = list(islice(takewhile(lambda one: not one.heading, behind), _LIST_LINES))
    return following[: 1 if is_label else max(1, listing.items(following))]


def _beside(index: Index, here: Passage) -> list[Passage]:
    """The lines around one that ends as no sentence does and says little by itself, as in a list or an address."""
    if not leaning.is_fragment(here):
        return []
    page = index.page_passages(here.page, _READ)
    at = next((i for i, one in enumerate(page) if one.number == here.number), len(page))
    around = page[max(0, at - 1) : at + 1 + _FRAGMENTS_BEHIND]
    return [one for one in around if leaning.is_fragment(one) or tables.is_row(one.text)]


def _columns(index: Index, here: Passage) -> Passage | None:
    """What names the columns of the table whose row this is."""
    if not tables.is_row(here.text):
        return None
    rows = tables.pairs(index.page_passages(here.page, _READ))
    return next((names for names, row in rows if row.number == here.number), None)


def _overleaf(index: Index, here: Passage) -> Passage | None:
    """Where a sentence breaks off at the foot of its page: how it goes on, in small letters, on the next one."""
    if here.heading or ends_sentence(here.text) or any(map(str.isalpha, index.page_text(here.page)[here.end :])):
        return None
    head = next((one for one in index.page_passages(here.page + 1, _HEAD) if not one.heading), None)
    return head if head is not None and head.text[0].islower() else None


def _is_label(text: str) -> bool:
    """Whether it is a few words that say nothing by themselves: "Tel.", "Invoice number"."""
    words = len(re.findall(r"\w+", text))
    # Scripts without spaces have whole sentences in one word.
    return words < 4 and count_tokens(text) < 8 and (words < 3 or not ends_sentence(text))
