"""Makes PDFs for tests by writing their syntax by hand, so that no library under test has a part in it."""

from __future__ import annotations

from collections.abc import Sequence

_LEADING = 14
_TOP = 60
_MIN_HEIGHT = 792
_INFO = b"/Info 8 0 R"
_FIRST_PAGE = 9


Marks = Sequence[tuple[int, str, int]]
"""Bookmarks in order: how deep they lie (from 0), their titles, their pages (from 1)."""


def make_pdf(pages: Sequence[str], *, title: str | None = None, outline: Marks = (), size: int | None = None) -> bytes:
    """A PDF with one page for each text, a line of the page for each line of the text.

    `title` goes into the document's information, `outline` becomes its bookmarks; `size` pads the file to exactly so
    many bytes. Raises ValueError where the file is larger already.
    """
    objects = _objects(pages, title)
    if outline:
        objects[0] = b"<</Type/Catalog/Pages 2 0 R/Outlines %d 0 R>>" % (len(objects) + 1)
        objects += _outline(outline, len(objects) + 1)
    plain = assemble(objects, _INFO)
    if size is None:
        return plain
    padding = size - len(plain)
    for _ in range(10):  # the padding's own length is written in digits, and so are the offsets behind it
        if padding < 0:
            break
        padded = assemble([*objects, stream(b"0" * padding)], _INFO)
        if len(padded) == size:
            return padded
        padding += size - len(padded)
    raise ValueError(f"this PDF cannot have {size} bytes: it has {len(plain)} without padding")


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """The body of a stream object."""
    return b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(data), entries, data)


def assemble(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A PDF file of these objects, numbered from 1; the first is the catalog. `trailer` has further trailer entries."""
    parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
    offsets, length = [], len(parts[0])
    for number, body in enumerate(objects, 1):
        offsets.append(length)
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, body))
        length += len(parts[-1])
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    parts.extend(b"%010d 00000 n \n" % offset for offset in offsets)
    parts.append(b"trailer\n<</Size %d/Root 1 0 R%s>>\n" % (len(objects) + 1, trailer))
    parts.append(b"startxref\n%d\n%%%%EOF\n" % length)
    return b"".join(parts)


def _objects(pages: Sequence[str], title: str | None) -> list[bytes]:
    """Catalog, page tree, fonts, information, then a page and its content for each text."""
    first = _FIRST_PAGE
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), kids),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Font/Subtype/Type0/BaseFont/Any/Encoding/Identity-H/DescendantFonts[5 0 R]/ToUnicode 7 0 R>>",
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Any/FontDescriptor 6 0 R/DW 600"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
        b"<</Type/FontDescriptor/FontName/Any/Flags 4/FontBBox[0 -200 1000 900]"
        b"/ItalicAngle 0/Ascent 900/Descent -200/CapHeight 700/StemV 80>>",
        stream(_TO_UNICODE),
        b"<</Title%s>>" % _text_string(title or ""),
    ]
    for number, text in enumerate(pages):
        lines = text.split("\n")
        height = max(_MIN_HEIGHT, _LEADING * len(lines) + 2 * _TOP)
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 %d]/Resources<</Font<</F1 3 0 R/F2 4 0 R>>>>/Contents %d 0 R>>"
            % (height, first + 2 * number + 1)
        )
        shown = b"\n".join(_show(line) + b" T*" for line in lines)
        objects.append(stream(b"BT %d TL 50 %d Td\n%s\nET" % (_LEADING, height - _TOP, shown)))
    return objects


def _outline(marks: Marks, root: int) -> list[bytes]:
    """The root of a tree of bookmarks, whose object number is given, and its items."""
    parents = [
        max((before for before in range(number) if marks[before][0] < level), default=-1)
        for number, (level, _, _) in enumerate(marks)
    ]

    def family(parent: int) -> bytes:
        children = [number for number, its in enumerate(parents) if its == parent]
        return b"/First %d 0 R/Last %d 0 R" % (root + 1 + children[0], root + 1 + children[-1]) if children else b""

    objects = [b"<</Type/Outlines%s>>" % family(-1)]
    for number, (_, title, page) in enumerate(marks):
        siblings = [other for other, parent in enumerate(parents) if parent == parents[number]]
        at = siblings.index(number)
        near = b"/Prev %d 0 R" % (root + 1 + siblings[at - 1]) if at else b""
        near += b"/Next %d 0 R" % (root + 1 + siblings[at + 1]) if at + 1 < len(siblings) else b""
        goal = b"/Dest[%d 0 R/Fit]" % (_FIRST_PAGE + 2 * (page - 1))
        above = b"/Parent %d 0 R" % (root + 1 + parents[number])
        objects.append(b"<</Title%s%s%s%s%s>>" % (_text_string(title), above, near, family(number), goal))
    return objects


def _show(line: str) -> bytes:
    """A line in the Western font where that has all its letters, else in one that has all of Unicode's first plane."""
    try:
        text = line.encode("cp1252")
    except UnicodeEncodeError:
        return b"/F2 11 Tf <%s> Tj" % line.encode("utf-16-be").hex().encode()
    for special in (b"\\", b"(", b")"):
        text = text.replace(special, b"\\" + special)
    return b"/F1 11 Tf (%s) Tj" % text


def _text_string(text: str) -> bytes:
    return b"<%s>" % (b"\xfe\xff" + text.encode("utf-16-be")).hex().encode()


_TO_UNICODE = (
    b"/CIDInit/ProcSet findresource begin 12 dict begin begincmap/CMapName/All def/CMapType 2 def\n"
    b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    + b"".join(
        b"64 beginbfrange\n"
        + b"".join(b"<%02X00> <%02XFF> <%02X00>\n" % (row, row, row) for row in range(start, start + 64))
        + b"endbfrange\n"
        for start in (0, 64, 128, 192)
    )
    + b"endcmap end end"
)
