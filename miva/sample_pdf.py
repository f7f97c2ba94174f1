"""A small PDF that says a known sentence, padded to any size: something to ask a server about."""

from __future__ import annotations

SENTENCE = "The lighthouse of Ouistreham was lit for the first time in 1905."
QUESTION = "When was the lighthouse lit for the first time?"
GOLD = "1905"
"""Part of every right answer to QUESTION."""


def sample_pdf(size: int) -> bytes:
    """A valid one-page PDF of about `size` bytes (never fewer than it needs), with SENTENCE as its text."""
    text = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % SENTENCE.encode("ascii")
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        _stream(text),
        _stream(b"0" * max(0, size - 900)),  # belongs to no page: padding
    ]
    pdf = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, len(pdf))
    return pdf + b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1) + table + end


def _stream(data: bytes) -> bytes:
    return b"<</Length %d>>\nstream\n%s\nendstream" % (len(data), data)
