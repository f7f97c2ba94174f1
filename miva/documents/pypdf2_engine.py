"""Reading a PDF's pages with PyPDF2, inside an extraction process: the second opinion, or the only one by setting.

PyPDF2 3.0.1 is at the end of its life (CVE-2023-36464, an endless loop, stays unfixed), which is why it runs only in
processes that are killed when they take too long. It gets the bytes in memory: given an open file it allocates
gigabytes (design section 4).
"""

from __future__ import annotations

import io
import mmap
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import PyPDF2
from PyPDF2.errors import DependencyError

from .clean import clean, is_garbled, letters
from .limits import Limits
from .refusal import LOCKED_FOR_GOOD, Refusal, too_much_text

Send = Callable[..., None]
_RECURSION = 2000


def read(fd: int, job: dict[str, Any], limits: Limits, send: Send) -> None:
    """Sends the page count and then every page (those of `job["pages"]` where it is a list) as it is read.

    A page event says whether the page is `doubtful`: another extractor may do better. Raises Refusal.
    """
    sys.setrecursionlimit(_RECURSION)
    reader, locked = _open(fd, job.get("password"))
    try:
        count = len(reader.pages)
    except MemoryError:
        raise
    except Exception as why:
        raise Refusal("broken_pdf") from why
    if count > limits.max_pages:
        raise Refusal("too_many_pages", f"This PDF has {count:,} pages; at most {limits.max_pages:,} are read.")
    if count < 1:
        raise Refusal("broken_pdf", "This PDF has no pages.")
    send({"event": "count", "pages": count, "locked": locked})
    budget = limits.max_characters
    wanted: Iterable[int] = range(count) if job.get("pages") is None else job["pages"]
    for index in wanted:
        raw = _page_text(reader, index)
        text = clean(raw)
        budget -= len(text)
        if budget < 0:
            raise Refusal("file_too_large", too_much_text(limits.max_characters))
        garbled = is_garbled(raw)
        send({"event": "page", "index": index, "garbled": garbled, "doubtful": garbled or not letters(text)}, text)


def _open(fd: int, password: str | None) -> tuple[Any, bool]:
    size = os.fstat(fd).st_size
    if not size:
        raise Refusal("not_a_pdf", "This file is empty.")
    # Through a mapping, because the descriptor's position is shared with whoever else has the file open.
    with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as mapped:
        data = io.BytesIO(mapped[:])
    wrong = "The password for this PDF is wrong. Send the file's own password with it."
    try:
        reader = PyPDF2.PdfReader(data)
        if not reader.is_encrypted or reader.decrypt(""):
            return reader, False
        if not password:
            raise Refusal("encrypted_pdf")
        if reader.decrypt(password):
            return reader, True
    except (Refusal, MemoryError):
        raise
    except DependencyError as why:
        raise Refusal("encrypted_pdf", LOCKED_FOR_GOOD) from why
    except Exception as why:
        # PyPDF2 answers damage with whatever its parser stumbled over: KeyError, RecursionError, ValueError and more.
        raise Refusal("broken_pdf") from why
    raise Refusal("encrypted_pdf", wrong)


def _page_text(reader: Any, index: int) -> str:
    try:
        text = reader.pages[index].extract_text()
    except MemoryError:
        raise
    except Exception:
        return ""  # damage on one page leaves the others readable
    return text if isinstance(text, str) else ""
