"""How a page becomes sentences, headings and chunks, each with its place on the page in characters."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile, zip_longest
from typing import NamedTuple

from miva.engine.sentence_ends import bounded, split
from miva.engine.text import count_tokens

CHUNK_TOKENS = 128

_PAGE_NUMBER = re.compile(
    r"\W*(?:page\s+)?(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:of|/|von|de)\s*\d{1,5})?\W*\Z", re.IGNORECASE
)
_BULLET = re.compile(r"\s*(?:[•▪●◦‣∙*–-](?:\s|\Z)|\(?\d{1,3}(?:\.\d{1,3}){0,3}[.)]\s|\(?[a-z][.)]\s)")
_NUMBERED = re.compile(
    r"(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?|[IVX]{1,5}\.|[A-Z]\.|chapter\s+\w+|section\s+\w+)\s+\S", re.IGNORECASE
)
_ENDED = re.compile(r"[.!?…؟۔।:;。！？｡][\"'”’»)\]」』）]*\Z")
_LEADERS = re.compile(r"(?:\.[ \t]?){5}|(?:·[ \t]?){5}|_{5}|…[ \t]?…")
_NO_HEADING = re.compile(r"=|%\Z|\([^)]*\Z|[.!?][\"'”’“»]?\s?[—–-]\Z")
"""A formula, a figure of a table, an open bracket, a pause behind a sentence."""
_COUNTED = re.compile(
    r"(?:\A|(?<=\s))(?P<page>(?:Page|PAGE|Seite|Pagina|Página|Pág\.|p\.)\s*)?\d{1,4}"
    r"(?:\s*(?:of|/|von|van|de)\s*\d{1,4})?\Z"
)
"""How a running head or foot ends: "Page 3 of 12", "12"."""
_DIGITS = re.compile(r"\d+")
_EDGE_CHARS = 500
_EDGED = 3
"""A page of fewer lines has no running head or foot."""
_CELLS_IN_A_ROW = 4
_FULL = 0.85
"""A line so long, measured by the lines around it, may have been wrapped: letters differ in width."""
_JOINING_WORDS = """
    a an the and or of to in on at by for from with as that is are was were und oder der die das den dem des ein eine
    von mit für im am zu et ou le la les un une du de au y o el los las del con il lo gli di da che e het een van
"""
_JOINING = frozenset(_JOINING_WORDS.split())
"""A line that ends so goes on below."""
_ITEMS = 4
"""So many lines none of which begins in a small letter are no running text, where they are not as long as that is."""
_NARROW = 60
"""Characters; lines of running text are seldom shorter."""
_DRAWN = frozenset("-_=*~.·•+#|‐‑‒–—―…")
_DASHES = frozenset("-–—")
_ROW_ENDS = frozenset("0123456789.,/%)-–—")
_CELL = re.compile(r"[-−+(]?[$€£]?\d[\d.,/%)]*[A-Za-z]{0,3}|[-–—]")
"""What stands in a table: a figure, maybe with its sign and unit, or a dash for none."""
_LABELLED = re.compile(r"[^\W\d_][^\d\n:.]{0,30}:[ \t]+")
"""How a line of a form begins: "Fax: …"."""
_FIELD = re.compile(rf"\A{_LABELLED.pattern}(?!(?:1\d|20)\d\d\b)\S*\d|\w@\w|(?:\d[ ()/-]{{0,2}}){{9}}")
"""What a form or a letter says in a line: "Fax: 123" (but not "Report: 2019"), an address of e-mail, a telephone
number (but not "2019-2021")."""


@dataclass(frozen=True)
class Sentence:
    """A sentence or a heading of one page: `start` and `end` are offsets in characters into the page's text."""

    start: int
    end: int
    heading: bool = False


@dataclass(frozen=True)
class Chunk:
    """Neighbouring sentences of one page: `first` and `last` count its sentences from 0, both included."""

    first: int
    last: int


class _Line(NamedTuple):
    """A line that is not blank; `apart` says whether a blank line, or nothing, is above it."""

    start: int
    end: int
    text: str
    apart: bool


def sentences(page: str, edges_before: Collection[str] = ()) -> list[Sentence]:
    """The sentences of a page in reading order, none longer than a chunk; page numbers are left out.

    What stands at the head or the foot of every page counts as a heading: `edges_before` are the `edges` of the pages
    before this one.
    """
    lines = _lines(page)
    head, foot = _take_edges(lines, edges_before)
    found = [Sentence(line.start, line.end, heading=True) for line in head]
    for block in _without_cells(page, list(_blocks(lines))):
        if block.heading:
            found.append(block)
            continue
        for start, end in split(page, block.start, block.end):
            found.extend(Sentence(*span) for span in bounded(page, start, end, CHUNK_TOKENS))
    return found + [Sentence(line.start, line.end, heading=True) for line in foot]


def edges(page: str) -> frozenset[str]:
    """The first and the last line of a page without their digits, where they may stand on other pages as well."""
    head, foot = _lines(page[:_EDGE_CHARS]), _lines(page[-_EDGE_CHARS:])
    if len(head) < 2 or len(foot) < 2:
        return frozenset()
    return frozenset(_DIGITS.sub("", line.text) for line in (head[0], foot[-1]) if _may_run(line.text))


def is_running(text: str) -> bool:
    """Whether a text is by its looks the running head or foot of a page: "Annual Report Page 3", "MOBY DICK 12"."""
    if not _may_run(text):
        return False
    counted = _COUNTED.search(text)
    return counted is not None and (bool(counted["page"]) or text[: counted.start()].isupper())


def ends_sentence(text: str) -> bool:
    """Whether a text ends as a sentence does, or one that is followed by a list."""
    return _ENDED.search(text) is not None


def is_contents_line(text: str) -> bool:
    """Whether a text is a line of a table of contents: a title, leaders, and the page where it stands."""
    return _LEADERS.search(text) is not None


def chunks(page: str, found: list[Sentence]) -> list[Chunk]:
    """Whole sentences up to `CHUNK_TOKENS` tokens each, the last one of a chunk again at the head of the next."""
    sizes = [count_tokens(page[s.start : s.end]) for s in found]
    made: list[Chunk] = []
    first = total = 0
    for i, size in enumerate(sizes):
        if i > first and total + size > CHUNK_TOKENS:
            made.append(Chunk(first, i - 1))
            overlaps = sizes[i - 1] + size <= CHUNK_TOKENS and i - 1 > first
            first, total = (i - 1, sizes[i - 1]) if overlaps else (i, 0)
        total += size
    if found:
        made.append(Chunk(first, len(found) - 1))
    return made


def _take_edges(lines: list[_Line], edges_before: Collection[str]) -> tuple[list[_Line], list[_Line]]:
    """Take the running head and foot of a page, where it has them, from its lines."""
    head: list[_Line] = []
    foot: list[_Line] = []
    if len(lines) >= _EDGED:
        if _is_edge(lines[0].text, edges_before):
            head = [lines.pop(0)]
            lines[0] = lines[0]._replace(apart=True)
        if _is_edge(lines[-1].text, edges_before):
            foot = [lines.pop()]
    return head, foot


def _is_edge(text: str, edges_before: Collection[str]) -> bool:
    return is_running(text) or (_may_run(text) and _DIGITS.sub("", text) in edges_before)


def _may_run(text: str) -> bool:
    return len(text) < 90 and not text[0].islower() and not _ENDED.search(text) and any(map(str.isalpha, text))


def _without_cells(page: str, blocks: list[Sentence]) -> Iterator[Sentence]:
    """The blocks, of which so many headings in a row are plain text: cells of a table, or lines of a list.

    The first of a page may still be its title, a numbered one the heading of what follows it, and the first one above
    lines that are no headings the heading of all of them.
    """
    at = 0
    while at < len(blocks):
        behind = at
        while behind < len(blocks) and blocks[behind].heading:
            behind += 1
        items = takewhile(
            lambda block: _is_item(page[block.start : block.end]), blocks[behind : behind + _CELLS_IN_A_ROW]
        )
        count = behind - at + sum(1 for block in items if not block.heading)
        heads_items = count > behind - at
        for i in range(at, behind):
            block = blocks[i]
            is_kept = (
                i == 0
                or (heads_items and i == at)
                or (i == behind - 1 and _NUMBERED.match(page, block.start, block.end) is not None)
            )
            yield block if is_kept or count < _CELLS_IN_A_ROW else replace(block, heading=False)
        yield from blocks[behind : behind + 1]
        at = behind + 1


def _is_item(text: str) -> bool:
    """Whether a block is one line that ends as no sentence does."""
    return "\n" not in text and not ends_sentence(text)


def _blocks(lines: list[_Line]) -> Iterator[Sentence]:
    """Stretches of running text and headings; a wrapped line goes on in its block."""
    lengths = sorted(len(line.text) for line in lines)
    width = lengths[len(lengths) * 4 // 5] if lengths else 0
    start = end = -1
    above = ""
    above_is_row = False
    for i, (line, below) in enumerate(zip_longest(lines, lines[1:])):
        above = "" if line.apart else above
        heading = _is_heading(above, line, below, width)
        begins = line.apart or heading or _BULLET.match(line.text) or _is_field(line.text, width)
        begins = begins or (start >= 0 and _is_done(lines, i, width))
        row = _is_row(line.text)
        # Figures at the end of a line of running text: it goes on in small letters.
        begins = begins or (above_is_row and (row or not line.text[0].islower()))
        above_is_row = row
        if start >= 0 and begins:
            yield Sentence(start, end)
            start = -1
        if heading:
            yield Sentence(line.start, line.end, heading=True)
        else:
            start = line.start if start < 0 else start
            end = line.end
        above = "" if heading else line.text
    if start >= 0:
        yield Sentence(start, end)


def _is_done(lines: list[_Line], i: int, width: int) -> bool:
    """Whether the line above line `i` ends where its writer ended it, as items of a list and rows of a table do.

    It does where the next word would have stood on it, too, and where no line around it goes on in small letters.
    Lines that do are of running text, whose column may be narrower than the page.
    """
    above, text = lines[i - 1].text, lines[i].text
    last = above[-1]
    if text[0].islower() and last not in ":;":  # most lines: be quick about them
        return False
    if last in ",-(" or above.rsplit(maxsplit=1)[-1].lower() in _JOINING:
        return False
    if _begins_small(text) and last not in ":;":
        return False
    if not (any(map(str.isalnum, above)) and any(map(str.isalpha, text))):
        return False  # a bullet, or the figures of a row
    around = lines[max(0, i - 3) : i + 3]
    if any(_begins_small(one.text) for one in around):
        width = max(len(one.text) for one in around)
    elif len(above) < max(_NARROW, _FULL * width) and len(around) >= _ITEMS and all(map(_begins_large, around)):
        return True
    return len(above) + 1 + len(text.split(maxsplit=1)[0]) <= _FULL * width


def _begins_small(text: str) -> bool:
    """Whether the first letter or digit of a line is a small letter."""
    return next(filter(str.isalnum, text), "").islower()


def _begins_large(line: _Line) -> bool:
    """Whether a line could begin in a small letter, but does not."""
    first = line.text[0]
    return not line.text.isupper() and (not first.isalpha() or first.isupper())


def _lines(page: str) -> list[_Line]:
    lines: list[_Line] = []
    at = 0
    apart = True
    for raw in page.splitlines(keepends=True):
        text = raw.strip()
        is_text = bool(text) and not _is_rule(text)
        if is_text:
            start = at + len(raw) - len(raw.lstrip())
            lines.append(_Line(start, start + len(text), text, apart))
        apart = not is_text
        at += len(raw)
    # A number alone at the edge of a page counts pages; alone on the page it is what the page says.
    if len(lines) > 1 and _is_page_number(lines[-1]):
        del lines[-1]
    if len(lines) > 1 and _is_page_number(lines[0]):
        lines[1] = lines[1]._replace(apart=True)
        del lines[0]
    return lines


def _is_rule(text: str) -> bool:
    """Whether a line is drawn rather than written: "_____", "- - -", "* * *"."""
    return text[0] in _DRAWN and len(text) > 2 and len(set(text) - {" "}) <= 2 and not any(map(str.isalnum, text))


def _is_row(text: str) -> bool:
    """Whether a line is of a table: it ends in a figure, and at least a quarter of it are figures.

    A number alone is of a chart, one digit behind words may be where a title was wrapped, and a comma behind a word
    is of running text.
    """
    if text[-1] not in _ROW_ENDS:  # most lines: be quick about them
        return False
    words = text.split()
    if len(words) < 2 or not _CELL.fullmatch(words[-1]) or not (len(words[-1]) > 1 or _CELL.fullmatch(words[-2])):
        return False
    figures = [word for word in words if _CELL.fullmatch(word)]
    if 4 * len(figures) < len(words) or all(word in _DASHES for word in figures):
        return False
    if _CELL.fullmatch(words[-2]) and any(map(str.isdigit, words[-2])):
        return True
    return not any(word.endswith(",") and not word[0].isdigit() for word in words)


def _is_field(text: str, width: int) -> bool:
    """Whether a line says what a form says in lines of their own: "Fax: 123". A full one may be of running text."""
    is_labelled = text[0].isupper() and _LABELLED.match(text) is not None
    return is_labelled and (len(text) < 0.7 * width or _FIELD.search(text) is not None)


def _leads_in(text: str, width: int) -> bool:
    """Whether what is directly below a line belongs to it: a list, or the answer to a short question."""
    return text[-1] == ":" or (text[-1] == "?" and len(text) < 0.7 * width)


def _is_page_number(line: _Line) -> bool:
    return len(line.text) < 30 and _PAGE_NUMBER.match(line.text) is not None


def _is_heading(above: str, line: _Line, below: _Line | None, width: int) -> bool:
    text = line.text
    if below is None or below.text[0].islower() or text[0].islower():  # most lines: be quick about them
        return False
    if not 2 <= len(text) <= 90 or len(text.split()) > 12 or text.endswith((",", "-")) or _ENDED.search(text):
        return False
    if not any(c.isalpha() for c in text[:20]) or not (text[0].isalnum() or text[0] in '§#"“'):
        return False
    if above and (not _ENDED.search(above) or _leads_in(above, width)):
        return False
    if _FIELD.search(text) or is_contents_line(text) or _NO_HEADING.search(text):
        return False
    alone = line.apart and below.apart
    return alone or len(text) < 0.7 * width or text.isupper() or _NUMBERED.match(text) is not None
