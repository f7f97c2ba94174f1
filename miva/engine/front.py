"""The front of a document: its title, and what stands above the first section."""

from __future__ import annotations

import re

from miva.engine.passages import ends_sentence, is_contents_line, is_running
from miva.engine.stores.base import Index, Passage
from miva.engine.text import STOP_WORDS

_TITLE_WORDS = 12
_NUMBER = re.compile(r"\d+")
_LINES, _PASSAGES = 12, 40
"""How many lines and passages of the first page may be its front."""


def title(index: Index, page: int) -> Passage | None:
    """The document's title as it stands on its first page: a heading, or a first line that looks like one."""
    first = next((one for one in index.page_passages(page, 2) if not is_running(one.text)), None)
    return first if first is None or first.heading else _first_line(first, index.page_text(page))


def _first_line(first: Passage, page: str) -> Passage | None:
    """The first line of a passage, where it is short, ends no sentence, and what is below it begins with a capital."""
    line = page[first.start :].split("\n", 1)[0].rstrip()
    below = page[first.start + len(line) :].lstrip()
    words = line.split()
    is_title = (
        len(words) <= _TITLE_WORDS
        and line[0].isupper()
        and below[:1].isupper()
        and not (ends_sentence(line) or line.endswith((",", "-")) or is_contents_line(line))
        and words[-1].lower() not in STOP_WORDS  # "The society was founded by": a sentence goes on
        and len(_NUMBER.findall(line)) < 2  # an address, or when it was printed
    )
    return Passage(first.number, first.page, first.start, line, heading=True) if is_title else None


def lines(index: Index, page: int) -> Passage | None:
    """What stands on the first page up to "Abstract" or the first heading below the title: who wrote it, and where."""
    passages = index.page_passages(page, _PASSAGES)
    if not passages:
        return None
    start = passages[0].start
    end = passages[-1].end
    is_below_text = False
    for passage in passages:
        if passage.heading and is_below_text:
            end = passage.start
            break
        is_below_text = is_below_text or not passage.heading
    taken: list[str] = []
    for line in index.page_text(page)[start:end].splitlines(keepends=True)[:_LINES]:
        if taken and line.strip(" \t\r\n.:—-").lower() in ("abstract", "summary", "zusammenfassung", "résumé"):
            break
        taken.append(line)
    return Passage(passages[0].number, page, start, "".join(taken).rstrip(), heading=False)
