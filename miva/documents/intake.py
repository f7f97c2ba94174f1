"""Bytes that have just arrived: bounded, held in memory or spooled, and told apart by what they really are."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from miva.protocol import errors

from .refusal import too_large
from .temporary import TemporaryFolder, write_all

PDF = "application/pdf"
TEXT = "text/plain"
_PDF_TYPES = {PDF, "application/x-pdf"}
_TEXT_TYPES = {TEXT, "text/markdown", "text/x-markdown"}
_UNKNOWN_TYPES = {"", "application/octet-stream", "binary/octet-stream"}
_TEXT_SUFFIXES = (".txt", ".md", ".markdown", ".text")
_HEADER_WITHIN = 1024
"""Bytes within which a PDF's header must begin (PDF 1.7, appendix H.3, implementation note 13)."""
_STRIDE = 2**18
"""Bytes that are written, and then hashed, at a time."""
SMALL = 2**18
"""Bytes up to which a file needs no place on the disk before it is read: making and deleting one took a tenth of what
a small file costs."""
HEAD = 2**16
"""Bytes from a file's beginning by which its type is told."""


@dataclass(frozen=True)
class Received:
    """A file that has arrived and was checked, held until it is discarded: its bytes where they are few, otherwise
    where they are spooled below the data folder.

    `size` is in bytes, `sha256` in hex, `media_type` is what the bytes are: application/pdf or text/plain.
    """

    content: bytes | Path = field(repr=False)
    sha256: str
    size: int
    media_type: str
    name: str

    def __post_init__(self) -> None:
        # For a request that was cancelled before anybody could take the file over.
        if isinstance(self.content, Path):
            weakref.finalize(self, _remove, str(self.content))

    def open(self) -> OpenFile:
        """The file, for reading. Raises OSError where it was discarded."""
        if isinstance(self.content, Path):
            return OpenFile(os.open(self.content, os.O_RDONLY | os.O_CLOEXEC))
        return OpenFile(_in_memory(self.content))

    def read(self) -> bytes:
        """All of its bytes. Raises OSError where it was discarded."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content

    def discard(self) -> None:
        """Removes the temporary file, where there is one; safe twice."""
        if isinstance(self.content, Path):
            _remove(str(self.content))


def take_in(chunks: Iterable[bytes], folder: TemporaryFolder, max_bytes: int, *, name: str, declared: str) -> Received:
    """The file that comes in chunks, spooled in `folder` unless it is small; blocks.

    Raises FileTooLarge, NotAPdf, NoText, UnsupportedType.
    """
    beginning: list[bytes] = []
    size = 0
    rest = iter(chunks)
    for chunk in rest:
        beginning.append(chunk)
        size += len(chunk)
        if size > min(SMALL, max_bytes):
            with Spool(folder) as spool:
                size, digest = spool.fill(itertools.chain(beginning, rest), max_bytes)
                return spool.keep(size=size, digest=digest, name=name, declared=declared)
    content = b"".join(beginning)
    media_type = sniff(content[:HEAD], name=name, declared=declared)
    return Received(content, sha256(content).hexdigest(), len(content), media_type, name)


def _in_memory(content: bytes) -> int:
    """The descriptor of a file with these bytes that has no place on a disk, where the system has such files."""
    if not hasattr(os, "memfd_create"):  # macOS
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            return os.dup(file.fileno())
    fd = os.memfd_create("miva", os.MFD_CLOEXEC)
    write_all(fd, content)
    return fd


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


class OpenFile:
    """A descriptor that lives as long as somebody may still need it, though the file may be discarded before."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.close = weakref.finalize(self, os.close, fd)


class Spool:
    """A temporary file being filled; leaves nothing behind unless it is kept."""

    def __init__(self, folder: TemporaryFolder) -> None:
        self.fd, self.path = folder.new_file()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self.fd)
        if kind is not None:
            _remove(str(self.path))

    def fill(self, chunks: Iterable[bytes], max_bytes: int) -> tuple[int, str]:
        """Writes the chunks: how many bytes they were, and their SHA-256 in hex. Raises FileTooLarge."""
        digest = sha256()
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise errors.FileTooLarge(too_large(max_bytes))
            view = memoryview(chunk)
            for at in range(0, len(view), _STRIDE):  # what was just written is still in the processor's cache
                self.write(view[at : at + _STRIDE])
                digest.update(view[at : at + _STRIDE])
        return size, digest.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Appends bytes."""
        write_all(self.fd, data)

    def make_room(self, size: int) -> None:
        """Gives the file its blocks ahead of being written through a mapping. Raises OSError where there are none."""
        os.ftruncate(self.fd, size)
        if hasattr(os, "posix_fallocate"):  # not on macOS, where files have no holes by default
            os.posix_fallocate(self.fd, 0, size)

    def keep(self, *, size: int, digest: str, name: str, declared: str) -> Received:
        """The finished file, its type sniffed. Raises NotAPdf, NoText, UnsupportedType."""
        media_type = sniff(os.pread(self.fd, HEAD, 0), name=name, declared=declared)
        return Received(self.path, digest, size, media_type, name)


def sniff(head: bytes, *, name: str, declared: str) -> str:
    """The media type of a file that begins with `head`, whatever it was declared to be.

    Raises NotAPdf, NoText (an empty text file), UnsupportedType.
    """
    kind = declared.partition(";")[0].strip().lower()
    name = name.strip().lower()
    is_text = kind in _TEXT_TYPES or (kind in _UNKNOWN_TYPES and name.endswith(_TEXT_SUFFIXES))
    at = head.find(b"%PDF-", 0, _HEADER_WITHIN)
    # A note about PDFs may well mention the header; a PDF that was declared as text has objects behind it.
    if at == 0 or (at > 0 and not (is_text and not re.search(rb"\bobj\b", head))):
        return PDF
    if is_text:
        if not head:
            raise errors.NoText("This file is empty.")
        if _is_binary(head):
            raise errors.UnsupportedType("This file is not text. Only PDF and plain text files can be read.")
        return TEXT
    if kind in _PDF_TYPES or (kind in _UNKNOWN_TYPES and name.endswith(".pdf")):
        raise errors.NotAPdf(None if head else "This file is empty.")
    raise errors.UnsupportedType


def _is_binary(head: bytes) -> bool:
    """Rubbish that is no text in any encoding; the extraction process looks more closely."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return False
    controls = len(re.findall(rb"[\x01-\x06\x0e-\x1a\x1c-\x1f]", head))
    # UTF-16 without a mark has zero bytes, but hardly two of them in a row.
    return 50 * controls > len(head) or 50 * head.count(b"\0\0") > len(head)
