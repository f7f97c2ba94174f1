"""Small files that cannot be read, each for a reason of its own; made here, so that no test needs a collection."""

from __future__ import annotations

import io
import zlib

import PyPDF2

from tests.pdfs import assemble, make_pdf, stream

_CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
_BOX = b"/Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]"


def locked(text: str, password: str) -> bytes:
    """A PDF that this password opens."""
    writer = PyPDF2.PdfWriter()
    writer.append_pages_from_reader(PyPDF2.PdfReader(io.BytesIO(make_pdf([text]))))
    writer.encrypt(password, "the owner's", use_128bit=True)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def picture() -> bytes:
    """A page with one image over all of it and no text."""
    page = b"<<%s/Resources<</XObject<</I 5 0 R>>>>/Contents 4 0 R>>" % _BOX
    image = b"/Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8"
    return assemble(
        [
            _CATALOG,
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            page,
            stream(b"q 612 0 0 792 0 0 cm /I Do Q"),
            stream(b"\xff\x00" * 32, image),
        ]
    )


def bomb() -> bytes:
    """A page whose content is two gigabytes of spaces, deflated twice into some kilobytes."""
    deflate = zlib.compressobj(9)
    spaces = b" " * 2**26
    first = deflate.compress(spaces) + deflate.flush(zlib.Z_FULL_FLUSH)
    more = deflate.compress(spaces) + deflate.flush(zlib.Z_FULL_FLUSH)  # forgets what was before, so it can be repeated
    content = stream(zlib.compress(first + more * 31, 9), b"/Filter[/FlateDecode/FlateDecode]")
    page = b"<<%s/Contents 4 0 R>>" % _BOX
    return assemble([_CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", page, content])


def slow() -> bytes:
    """Ten pages of fifteen million instructions each: minutes of reading in sixty kilobytes."""
    pages = [b"<<%s/Contents 3 0 R>>" % _BOX] * 10
    kids = b" ".join(b"%d 0 R" % number for number in range(4, 14))
    content = stream(zlib.compress(b"1 w " * 15_000_000), b"/Filter/FlateDecode")
    return assemble([_CATALOG, b"<</Type/Pages/Count 10/Kids[%s]>>" % kids, content, *pages])
