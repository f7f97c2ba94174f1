"""Decoding base64 as clients send it: white space, a data: prefix, the URL-safe alphabet, missing padding.

Everything else is refused. The text is decoded piece by piece, so that memory stays flat however large the file is.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import pybase64

from .refusal import Refusal, too_large

PIECE = 3 * 2**20
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\v\f"
_DATA_PREFIX = re.compile(rb"\s*data:[^,]{0,1000}?;\s*base64\s*,", re.IGNORECASE)
MAX_PREFIX = 1100
"""Bytes within which a data: prefix must end."""


def decode(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The decoded bytes of a base64 text that comes in pieces. Raises Refusal (`bad_base64`).

    The first piece must hold the whole data: prefix, if there is one.
    """
    kept = b""  # an incomplete group of four, carried to the next piece
    padding = 0
    for number, piece in enumerate(pieces):
        prefix = _DATA_PREFIX.match(piece, 0, MAX_PREFIX) if number == 0 else None
        text = piece[prefix.end() if prefix else 0 :].translate(_URL_SAFE, _WHITE_SPACE)
        body = text.rstrip(b"=")
        if b"=" in body or (padding and body):
            raise Refusal("bad_base64")  # something after the padding
        padding += len(text) - len(body)
        body = kept + body
        whole = len(body) // 4 * 4
        if whole:
            yield _decode_groups(body[:whole])
        kept = body[whole:]
    missing = -len(kept) % 4
    if missing == 3 or padding > missing:
        raise Refusal("bad_base64")
    if kept:
        yield _decode_groups(kept + b"=" * missing)


def decode_file(source: int, target: int, max_bytes: int) -> dict[str, Any]:
    """Decodes the file behind one descriptor into that behind the other: `{"size": bytes, "sha256": hex}`.

    The target has been given its room by the server and is filled through a mapping, because this process may not make
    any file grow. Raises Refusal (`bad_base64`, `file_too_large`).
    """
    room = os.fstat(target).st_size
    digest = sha256()
    done = 0
    with mmap.mmap(target, room) as filled:
        for data in decode(_pieces(source)):
            if done + len(data) > min(max_bytes, room):
                raise Refusal("file_too_large", too_large(max_bytes))
            filled[done : done + len(data)] = data
            digest.update(data)
            done += len(data)
    return {"size": done, "sha256": digest.hexdigest()}


def _pieces(source: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(source, PIECE, offset):
        yield piece
        offset += len(piece)


def _decode_groups(text: bytes) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as why:
        raise Refusal("bad_base64") from why
