"""A PDF of many pages of text, as programs that set text write it, or as plainly as can be.

How a page is written decides what PyPDF2 takes for it, because it pays by the operator and by the piece of text, while
pdfium pays by the letter. So the typeset page is shaped like the median of 188 pages of the public files (those of 200
to 800 words, at most ten of a file; medians by file and by page, counted with PyPDF2's ContentStream):

                                        public files    typeset    plain
    words                                 384 – 395         440      440
    per 1,000 letters of text: operators  180 – 203         192       41
                       text-showing ones   37 –  40          35       18
        pieces of text and gaps in them         371         354       18
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable

from tests.pdfs import assemble, stream

_LINES = 38
_LETTERS_A_LINE = 60
_LEADING = 16
_BRANCH = 25
"""Pages under one node of the page tree."""
_KERNING = (-15, -10, 10, 15, 20, 30, 55, 80)

_TEXT = """the of and to in a is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will no more if out so said what up its about
into than them can only other time new some could these two may first then do any like my now over such our man even
most made after also did many off before must well back through years much where your way down should because long each
just state those people too little good world make very year still see work life men day both between being under three
never know same last another while us might great go come since against right came take used himself few house during
without again place around however home small found thought went say part once general high upon school every keep
harbour lighthouse measurement contract invoice engine pressure temperature catalogue chapter reference paragraph
insurance committee department procedure maintenance certificate instalment requirement responsibility approximately
nevertheless development administration organisation environment manufacturer specification"""
_WORDS = _TEXT.split()


def long_pdf(pages: int, *, plain: bool = False, seed: int = 1) -> bytes:
    """A PDF of so many pages of some 440 words in Helvetica, packed; the same for the same arguments.

    A `plain` one shows each line with a single operator, which is the least that PyPDF2 can be asked for.
    """
    chance = random.Random(seed)
    nodes = -(-pages // _BRANCH)
    first_node, first_page = 5, 5 + nodes
    tree = b"<</Type/Pages/Count %d/Kids[%s]/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R/F2 4 0 R>>>>>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        tree % (pages, _references(range(first_node, first_page))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>",
    ]
    for node in range(nodes):
        below = range(node * _BRANCH, min(pages, (node + 1) * _BRANCH))
        kids = _references(first_page + 2 * page for page in below)
        objects.append(b"<</Type/Pages/Parent 2 0 R/Count %d/Kids[%s]>>" % (len(below), kids))
    write = _plain if plain else _typeset
    for page in range(pages):
        parent, content = first_node + page // _BRANCH, first_page + 2 * page + 1
        objects.append(b"<</Type/Page/Parent %d 0 R/Contents %d 0 R>>" % (parent, content))
        objects.append(stream(zlib.compress(write(page + 1, chance)), b"/Filter/FlateDecode"))
    return assemble(objects)


def _references(numbers: Iterable[int]) -> bytes:
    return b" ".join(b"%d 0 R" % number for number in numbers)


def _plain(number: int, chance: random.Random) -> bytes:
    """A page's operators: a heading, the lines below it, the page's number at the foot."""
    lines = b"".join(b"(%s) Tj T*\n" % line for line in _lines(chance))
    return (
        b"BT /F2 14 Tf 72 730 Td (Section %d. %s) Tj ET\n" % (number, _sentence(chance, 4))
        + b"BT /F1 11 Tf %d TL 72 700 Td\n%sET\n" % (_LEADING, lines)
        + b"BT /F1 9 Tf 300 40 Td (- %d -) Tj ET\n" % number
    )


def _typeset(number: int, chance: random.Random) -> bytes:
    """The same, justified: each line in two runs with a place, a font and gaps of their own, cut at kerning pairs."""
    heading = b"Section %d. %s" % (number, _sentence(chance, 4))
    parts = [b"BT /F2 14 Tf 1 0 0 1 72 730 Tm [%s] TJ ET" % _kerned(heading, chance)]
    for row, line in enumerate(_lines(chance)):
        words = line.split(b" ")
        half = -(-len(words) // 2)
        parts.append(b"BT %.3f Tw" % chance.uniform(-0.1, 0.3))
        left = 72.0
        for run in (b" ".join(words[:half]) + b" ", b" ".join(words[half:])):
            font = b"/F2" if chance.random() < 0.05 else b"/F1"
            place = b"1 0 0 1 %.2f %d Tm" % (left, 700 - _LEADING * row)
            gap = b"%.3f Tc" % chance.uniform(-0.02, 0.02)
            parts.append(b"%s 11 Tf %s %s [%s] TJ" % (font, gap, place, _kerned(run, chance)))
            left += 5.3 * len(run)
        parts.append(b"ET")
    parts.append(b"BT /F1 9 Tf 1 0 0 1 300 40 Tm (- %d -) Tj ET" % number)
    return b"\n".join(parts)


def _kerned(text: bytes, chance: random.Random) -> bytes:
    """The elements of a TJ operator."""
    parts = []
    while text:
        cut = chance.randint(2, 9)
        parts.append(b"(%s)" % text[:cut])
        text = text[cut:]
        if text:
            parts.append(b"%d" % chance.choice(_KERNING))
    return b"".join(parts)


def _lines(chance: random.Random) -> list[bytes]:
    lines: list[bytes] = []
    left = _sentence(chance, 20)
    while len(lines) < _LINES:
        left += b" " + _sentence(chance, chance.randint(5, 25))
        while len(left) > _LETTERS_A_LINE:
            cut = left.rfind(b" ", 0, _LETTERS_A_LINE)
            lines.append(left[:cut])
            left = left[cut + 1 :]
    return lines[:_LINES]


def _sentence(chance: random.Random, words: int) -> bytes:
    # Squared, so that the words that stand first come most often.
    chosen = [_WORDS[int(len(_WORDS) * chance.random() ** 2)] for _ in range(words)]
    return (" ".join(chosen).capitalize() + ".").encode("ascii")
