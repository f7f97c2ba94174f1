"""Reading a PDF's pages with pdfium, inside an extraction process.

pdfium is not thread-safe and aborts when memory ends (design section 4), so this module must never be imported by the
server itself.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import itertools
import mmap
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium_c

from . import outline
from .clean import clean, has_letters, is_garbled, with_added
from .limits import Limits
from .outline import Bookmark
from .refusal import LOCKED_FOR_GOOD, Refusal, too_much_text
from .wire import Sender

FEW_LETTERS = 20
"""A page with fewer letters or digits may be a scan (design section 4)."""
_MAX_OBJECTS = 2000
"""Objects of a page that are looked at to find a scan's picture, and fields that are looked at for their values."""
_DEEPEST = 3
"""Forms within forms in which they are looked for."""
_MOST_SHOWN = 20_000
"""Characters of one field that a page can show, small print included."""
_FIELDS_WITH_TEXT = (
    pdfium_c.FPDF_FORMFIELD_TEXTFIELD,
    pdfium_c.FPDF_FORMFIELD_COMBOBOX,
    pdfium_c.FPDF_FORMFIELD_LISTBOX,
)
_UNSEEN = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN | pdfium_c.FPDF_ANNOT_FLAG_NOVIEW

_COPIED = 2**18
"""Bytes of a file up to which it is copied."""
_REST_S = 0.0002
"""Behind the first page."""


def read(
    fd: int, job: dict[str, Any], limits: Limits, sender: Sender, afterwards: contextlib.ExitStack
) -> list[Bookmark]:
    """Sends the page count and then every page (those of `job["pages"]` where it is a list) as it is read.

    A page event says whether the page is `doubtful` (empty or garbled although there seems to be text, so that another
    extractor may do better), what was `added` to such a page by hand, and whether it is a `scan`. Returns the bookmarks
    that lead to a page. The document is closed `afterwards`: whatever pdfium may do then costs nobody a word. Raises
    Refusal.
    """
    document, locked = open_document(fd, job.get("password"))
    afterwards.callback(document.close)
    has_form = job.get("forms", True) and document.get_formtype() != pdfium_c.FORMTYPE_NONE
    if has_form:
        # Said first, because some forms hang or crash pdfium: the server then has the file read again without.
        sender.send({"event": "form"})
        # A document whose form is beyond repair still has its pages.
        with contextlib.suppress(pypdfium2.PdfiumError):
            document.init_forms()
    count = len(document)
    if count > limits.max_pages:
        raise Refusal("too_many_pages", f"This PDF has {count:,} pages; at most {limits.max_pages:,} are read.")
    if count < 1:
        raise Refusal("broken_pdf", "This PDF has no pages.")
    sender.send({"event": "count", "pages": count, "locked": locked}, may_wait=count == 1)
    budget, is_first = limits.max_characters, True
    wanted: Iterable[int] = range(count) if job.get("pages") is None else job["pages"]
    for index in wanted:
        text, facts = _read_page(document, index)
        budget -= len(text) + sum(map(len, facts.get("added", ())))
        if budget < 0:
            raise Refusal("file_too_large", too_much_text(limits.max_characters))
        is_awaited = is_first and count > 1
        sender.send({"event": "page", "index": index, **facts}, text, may_wait=not is_awaited)
        if is_awaited:
            # Whoever waits for it has the processor now: on a machine with one core it would go on here for
            # milliseconds (measured: the first page of 1,000 after 6.5 ms so, after 9 ms without; median).
            time.sleep(_REST_S)
        is_first = False
    if job.get("pages") is not None or not pdfium_c.FPDFBookmark_GetFirstChild(document, None):
        return []
    sender.flush()  # some bookmarks hang or crash pdfium, and the pages are here
    return _outline(document, count)


def _outline(document: Any, pages: int) -> list[Bookmark]:
    found: list[Bookmark] = []
    # Bookmarks that nobody can follow are no reason to lose a document's text.
    with contextlib.suppress(pypdfium2.PdfiumError, ValueError):
        for mark in itertools.islice(document.get_toc(max_depth=outline.DEEPEST), outline.MOST):
            goal = mark.get_dest()
            index = goal.get_index() if goal is not None else None
            words = " ".join(clean(mark.get_title()).split())
            title = "".join(filter(str.isprintable, words))[: outline.LONGEST_TITLE]
            if title and index is not None and index < pages:
                found.append(Bookmark(mark.level, title, index + 1))
    return found


def open_document(fd: int, password: str | None) -> tuple[Any, bool]:
    """The opened document and whether its text needs the password. Raises Refusal.

    The bytes of a large file are mapped, not copied; copying a small one costs less than its page faults. Without a
    password first: a file that opens so is not locked, whatever was given.
    """
    size = os.fstat(fd).st_size
    if not size:
        raise Refusal("not_a_pdf", "This file is empty.")
    data: Any = os.pread(fd, size, 0) if size <= _COPIED else _mapped(fd, size)
    for attempt in (None, password) if password else (None,):
        handle = pdfium_c.FPDF_LoadMemDocument64(data, size, None if attempt is None else attempt.encode() + b"\0")
        if handle:
            document = pypdfium2.PdfDocument(handle)
            document.read_from = data  # kept for as long as it is read from
            return document, attempt is not None
        problem = pdfium_c.FPDF_GetLastError()
    if problem == pdfium_c.FPDF_ERR_PASSWORD:
        wrong = "The password for this PDF is wrong. Send the file's own password with it."
        raise Refusal("encrypted_pdf", wrong if password else None)
    if problem == pdfium_c.FPDF_ERR_SECURITY:
        raise Refusal("encrypted_pdf", LOCKED_FOR_GOOD)
    raise Refusal("broken_pdf")


def _mapped(fd: int, size: int) -> Any:
    return (ctypes.c_ubyte * size).from_buffer(mmap.mmap(fd, size, access=mmap.ACCESS_COPY))


def _read_page(document: Any, index: int) -> tuple[str, dict[str, Any]]:
    page = _Page(document, index)
    if not page.raw:
        return "", {"doubtful": True, "failed": True}
    try:
        raw, values, typed = _text(page.raw), list[str](), list[str]()
        if pdfium_c.FPDFPage_GetAnnotCount(page.raw) > 0:
            values, typed = _annotated(document, page.raw)
            if document.formenv:
                raw = _with_form_fields(page, raw, values)
        text = clean(raw)
        if is_garbled(raw):
            # Whoever reads the page better may know nothing of what was added to it.
            facts = {"doubtful": True, "garbled": True, "added": [*values, *typed]}
        elif has_letters(text, FEW_LETTERS):
            facts = {}
        else:
            scan, drawn = _looks(page.raw)
            facts = {"scan": scan, "doubtful": not scan and not text and drawn, "added": typed}
        return with_added(text, typed), facts
    finally:
        page.close()


class _Page:
    """A page by pdfium's own functions: pypdfium2's objects for page and text take as long as a short page's text.

    `raw` is None where the page cannot be loaded.
    """

    def __init__(self, document: Any, index: int) -> None:
        self._document, self._index = document, index
        self.raw: Any = None
        self.load()

    def load(self) -> None:
        """Loads it, anew where it was closed."""
        self.raw = pdfium_c.FPDF_LoadPage(self._document, self._index)
        if self.raw and self._document.formenv:
            pdfium_c.FORM_OnAfterLoadPage(self.raw, self._document.formenv)

    def close(self) -> None:
        """Safe where it was never loaded."""
        raw, self.raw = self.raw, None
        if raw:
            if self._document.formenv:
                pdfium_c.FORM_OnBeforeClosePage(raw, self._document.formenv)
            pdfium_c.FPDF_ClosePage(raw)


def _text(page: Any) -> str:
    """All text of a page."""
    text_page = pdfium_c.FPDFText_LoadPage(page)
    if not text_page:
        return ""
    try:
        count = pdfium_c.FPDFText_CountChars(text_page)
        if count < 1:
            return ""
        # A character may take two, and a zero ends them. A power of two, because ctypes makes a type for each length.
        buffer = (ctypes.c_ushort * (1 << (2 * count).bit_length()))()
        written = pdfium_c.FPDFText_GetText(text_page, 0, count, buffer)
        return codecs.utf_16_le_decode(memoryview(buffer)[: written - 1], "ignore")[0] if written else ""
    finally:
        pdfium_c.FPDFText_ClosePage(text_page)


def _with_form_fields(page: _Page, before: str, values: Sequence[str]) -> str:
    """The text with what was filled into the page's fields; the page may be another one afterwards, or none.

    A flattened page has each field's value where it stands, but some pages lose their fonts' character maps by it: then
    the values are listed below the text from before. So they are where one is too long for any page, which shows only
    its beginning (and keeps pdfium busy for longer than a hundred other pages). Flattening invalidates the page, which
    is loaded anew.
    """
    listed = "\n".join([before, *values])
    if max(map(len, values), default=0) > _MOST_SHOWN:
        return listed
    done = pdfium_c.FPDFPage_Flatten(page.raw, pdfium_c.FLAT_NORMALDISPLAY)
    if done == pdfium_c.FLATTEN_NOTHINGTODO:
        return _fuller(before, listed)
    if done == pdfium_c.FLATTEN_FAIL:
        return listed
    page.close()
    page.load()
    return _fuller(_text(page.raw), listed) if page.raw else listed


def _fuller(flat: str, listed: str) -> str:
    """The flattened page's text, unless a quarter of what was listed is not in it.

    By characters, not words: a value in a field of boxes comes out as "1 2 3", and a choice as what is shown for it.
    """
    if flat == listed:
        return flat
    wanted = Counter("".join(listed.casefold().split()))
    lost = wanted - Counter(flat.casefold())
    return flat if 4 * lost.total() <= wanted.total() else listed


def _annotated(document: Any, page: Any) -> tuple[list[str], list[str]]:
    """What stands in a form's text fields and choices of a page, and what was typed onto the page, in their order.

    The latter (FreeText, PDF 1.7, 12.5.6.6) is how a form is filled in that has no fields.
    """
    values, typed = list[str](), list[str]()
    for number in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), _MAX_OBJECTS)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        if pdfium_c.FPDFAnnot_GetSubtype(annotation) == pdfium_c.FPDF_ANNOT_FREETEXT:
            if not pdfium_c.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
                typed.append(_words(pdfium_c.FPDFAnnot_GetStringValue, annotation, b"Contents"))
        elif document.formenv:
            kind = pdfium_c.FPDFAnnot_GetFormFieldType(document.formenv, annotation)
            if kind in _FIELDS_WITH_TEXT:
                values.append(_words(pdfium_c.FPDFAnnot_GetFormFieldValue, document.formenv, annotation))
        pdfium_c.FPDFPage_CloseAnnot(annotation)
    return [value for value in values if value.strip()], [words for words in typed if words.strip()]


def _words(function: Callable[..., int], *of: Any) -> str:
    """What one of pdfium's functions says, which writes UTF-16 into a buffer and returns its length in bytes."""
    size = function(*of, None, 0)
    buffer = ctypes.create_string_buffer(size)
    function(*of, ctypes.cast(buffer, ctypes.POINTER(pdfium_c.FPDF_WCHAR)), size)
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0")


def _looks(page: Any) -> tuple[bool, bool]:
    """Whether a page with hardly any text is a scan, and whether text may have been drawn that was not found.

    Pictures cover over half of a scan. A page of nothing but lines has no text to be found; one on which nothing at
    all could be understood may have.
    """
    box = pdfium_c.FS_RECTF()
    if not pdfium_c.FPDF_GetPageBoundingBox(page, box):
        return False, True
    pictures, text_drawn, seen = 0.0, False, 0
    try:
        for kind, outer in itertools.islice(_drawn(page), _MAX_OBJECTS):
            seen += 1
            if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
                # What lies inside a form has that form's coordinates, so the form's own place on the page counts.
                west, south, east, north = _bounds(outer)
                width = min(east, box.right) - max(west, box.left)
                height = min(north, box.top) - max(south, box.bottom)
                pictures += width * height if width > 0 < height else 0.0
            text_drawn = text_drawn or kind == pdfium_c.FPDF_PAGEOBJ_TEXT
    except pypdfium2.PdfiumError:
        return False, True
    return 2 * pictures > (box.right - box.left) * (box.top - box.bottom), text_drawn or not seen


def _drawn(page: Any) -> Iterator[tuple[int, Any]]:
    """The kind of each object drawn on a page, and the outermost one it lies in, itself maybe. Raises PdfiumError."""
    for number in range(pdfium_c.FPDFPage_CountObjects(page)):
        outer = pdfium_c.FPDFPage_GetObject(page, number)
        for kind in _kinds(outer, _DEEPEST):
            yield kind, outer


def _kinds(item: Any, depth: int) -> Iterator[int]:
    kind = pdfium_c.FPDFPageObj_GetType(item) if item else pdfium_c.FPDF_PAGEOBJ_UNKNOWN
    if kind == pdfium_c.FPDF_PAGEOBJ_UNKNOWN:
        raise pypdfium2.PdfiumError("an object of the page cannot be understood")
    yield kind
    if kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth > 1:
        for number in range(pdfium_c.FPDFFormObj_CountObjects(item)):
            yield from _kinds(pdfium_c.FPDFFormObj_GetObject(item, number), depth - 1)


def _bounds(item: Any) -> tuple[float, float, float, float]:
    """Left, bottom, right and top. Raises PdfiumError."""
    west, south, east, north = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(item, west, south, east, north):
        raise pypdfium2.PdfiumError("an object of the page is nowhere")
    return west.value, south.value, east.value, north.value
