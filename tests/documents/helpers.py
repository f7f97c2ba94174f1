"""What several tests of document reading need: files with a known fault, jobs, and a look at the processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from miva.documents.extraction import Extracted, Listener, extract_pdf
from miva.documents.pool import Pool
from miva.documents.slot import Slot
from tests.pdfs import assemble, make_pdf, stream

SHARED = Path(__file__).parents[3] / "shared" / "pdfs"
SECONDS = float(os.environ.get("MIVA_TEST_PATIENCE", "30"))
"""How long a test waits for what must happen before it calls it missing."""

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


def page_with(content: bytes, resources: bytes = b"/Font<</F1 3 0 R>>", *more: bytes) -> bytes:
    """A PDF of one page with this content stream and resources; `more` are objects from number 6 on."""
    return assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<<%s>>/Contents 5 0 R>>" % resources,
            stream(content) if not content.startswith(b"<<") else content,
            *more,
        ]
    )


def hanging_pdf() -> bytes:
    """A PDF on which PyPDF2 never ends (CVE-2023-36464: a comment without a line's end); pdfium reads it."""
    return page_with(b"BT /F1 12 Tf 50 700 Td (seen by pdfium) Tj ET %")


def bomb_pdf(megabytes: int) -> bytes:
    """A small PDF whose only page's content unpacks to so many megabytes."""
    packer = zlib.compressobj(1)
    packed = b"".join([*(packer.compress(b"0 " * 2**19) for _ in range(megabytes)), packer.flush()])
    return page_with(stream(packed, b"/Filter/FlateDecode"))


def garbled_pdf() -> bytes:
    """A page that shows letters and tells private characters: its font's map says so, on purpose or for want of one."""
    content = stream(b"BT /F1 12 Tf 50 700 Td (Nobody but a reader of pictures can read this.) Tj ET")
    codes = b"1 begincodespacerange <00> <ff> endcodespacerange 1 beginbfrange <20> <7e> <e020> endbfrange"
    meaning = stream(b"begincmap %s endcmap" % codes)
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding/ToUnicode 7 0 R>>"
    return page_with(content, b"/Font<</F1 6 0 R>>", font, meaning)


def typed_onto(content: bytes, annotation: bytes, *, of_page: bytes = b"") -> bytes:
    """A page with this content and an annotation of typed text (FreeText), whose further entries these are."""
    free_text = b"<</Type/Annot/Subtype/FreeText/Rect[100 600 400 640]/DA(/F1 12 Tf)%s>>" % annotation
    return assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>%s>>"
            b"/Contents 5 0 R/Annots[6 0 R]>>" % of_page,
            stream(content),
            free_text,
            stream(b"\x80", b"/Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8"),
        ]
    )


def scan_pdf(pages: int = 1) -> bytes:
    """A PDF whose pages are one picture each."""
    picture = stream(b"\x80", b"/Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8")
    kids = b" ".join(b"%d 0 R" % (5 + number) for number in range(pages))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</I 3 0 R>>>>/Contents 4 0 R>>"
    tree = b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids)
    return assemble(
        [b"<</Type/Catalog/Pages 2 0 R>>", tree, picture, stream(b"612 0 0 792 0 0 cm /I Do"), *[page] * pages]
    )


def submit(pool: Pool, data: bytes, *, password: str | None = None, **how: Any) -> Future[Extracted]:
    """Has a pool read a PDF."""
    return pool.submit(partial(_extract, pool, data, password, how.pop("listener", Listener())), **how)


def _extract(pool: Pool, data: bytes, password: str | None, listener: Listener, slot: Slot) -> Extracted:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return extract_pdf(slot, file.fileno(), pool.limits, password, listener)


def text_of(pool: Pool, data: bytes | None = None) -> str:
    """The first page of a PDF, read by a pool; a normal one where none is given."""
    return submit(pool, data or make_pdf(["still working"])).result(timeout=SECONDS).pages[0]


def zygotes(parent: int | None = None) -> list[int]:
    """Process ids of a server's fork servers."""
    return [pid for pid in children(parent or os.getpid()) if b"miva.documents.zygote" in _read(pid, "cmdline")]


def workers(parent: int | None = None) -> list[int]:
    """Process ids of a server's extraction processes."""
    return [pid for zygote in zygotes(parent) for pid in children(zygote)]


def computing() -> list[int]:
    """Workers that have used a tenth of a second of CPU: they are reading, not starting."""
    found = []
    for worker in workers():
        try:
            ticks = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[11])
        except OSError:
            continue
        if ticks >= 10:
            found.append(worker)
    return found


def children(parent: int) -> list[int]:
    """Process ids of a process's children that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _read(int(folder.name), "stat").rpartition(b")")[2].split()
        if len(fields) > 1 and int(fields[1]) == parent and fields[0] != b"Z":
            found.append(int(folder.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return bool(fields) and fields[0] != b"Z"


def eventually(condition: Callable[[], Any]) -> Any:
    """The condition's first true value. Fails the test when there is none in time."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"this did not come true within {SECONDS:.0f} s")


async def eventually_async(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The same for a condition that has to be awaited."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        value = await condition()
        if value:
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"this did not come true within {SECONDS:.0f} s")


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""
