"""Reading one file in one slot of the pool: first extractor, second opinion, OCR, and what to say if all fail."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from miva.protocol import errors

from .clean import has_letters, letters, with_added
from .limits import Limits
from .outline import Bookmark, bookmarks
from .slot import Slot

Progress = Callable[[int, int], None]
OnPage = Callable[[int, int, str], None]


def _nobody(*_: object) -> None:
    return


@dataclass(frozen=True, slots=True)
class Listener:
    """Who follows a reading, called from another thread.

    `progress` gets pages done and pages in all. `page` gets the first pages as they are read: a page's number (from 1),
    pages in all, its text; no more of them behind one that another extractor may read better. A reading that begins
    anew may still give other texts.
    """

    progress: Progress = _nobody
    page: OnPage = _nobody


@dataclass(frozen=True)
class Extracted:
    """The text of a file, page by page, which extractor gave it, whether a password was needed for it, and its
    bookmarks."""

    pages: tuple[str, ...]
    extractor: str
    locked: bool = False
    outline: tuple[Bookmark, ...] = ()


@dataclass
class _Pages:
    """What one extractor has given so far."""

    engine: str
    count: int = 0
    locked: bool = False
    has_form: bool = False
    texts: dict[int, str] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    garbled: set[int] = field(default_factory=set)
    scans: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    added: dict[int, list[str]] = field(default_factory=dict)

    @property
    def are_all_there(self) -> bool:
        return 0 < self.count == len(self.texts)

    def take(self, event: dict[str, Any], text: str) -> None:
        if event["event"] == "form":
            self.has_form = True
            return
        if event["event"] == "count":
            self.count, self.locked = int(event["pages"]), bool(event.get("locked"))
            return
        index = int(event["index"])
        self.texts[index] = text
        marks = {"doubtful": self.doubtful, "garbled": self.garbled, "scan": self.scans, "failed": self.failed}
        for name, pages in marks.items():
            if event.get(name):
                pages.add(index)
        if added := event.get("added"):
            self.added[index] = [str(one) for one in added]


_NOT_FINAL = (errors.BrokenPdf, errors.ExtractionMemory, errors.ExtractionTimeout, errors.Internal)
"""What one extractor may fail with and another, or the same without the form, succeed."""


def extract_text(slot: Slot, fd: int, limits: Limits) -> Extracted:
    """The whole text of a text file. Raises MivaError or Cancelled."""
    pages = _Pages("text")
    end = slot.run({"kind": "text"}, [fd], limits.timeout_s, pages.take)
    return Extracted((pages.texts[0],), f"text:{end['encoding']}")


def extract_pdf(slot: Slot, fd: int, limits: Limits, password: str | None, listener: Listener) -> Extracted:
    """The pages of a PDF. Raises MivaError or Cancelled.

    All extractors together have `limits.timeout_s`; what the first one gave is never lost because a later one failed.
    """
    until = time.monotonic() + limits.timeout_s
    first, *others = limits.engines
    pages = _Pages(first)
    problem: errors.MivaError | None = None
    is_settled = True

    def on_event(event: dict[str, Any], text: str) -> None:
        nonlocal is_settled
        pages.take(event, text)
        listener.progress(len(pages.texts), pages.count)
        if event["event"] == "page":
            is_settled = is_settled and not event.get("doubtful") and not event.get("scan")
            if is_settled:
                listener.page(int(event["index"]) + 1, pages.count, text)

    end: dict[str, Any] = {}
    try:
        end = slot.run(_job(first, password), [fd], limits.timeout_s, on_event)
    except _NOT_FINAL as why:
        if not pages.are_all_there:  # else it was what comes behind the last page
            problem, has_form, pages, is_settled = why, pages.has_form, _Pages(first), False
            if has_form and until > time.monotonic():
                with contextlib.suppress(*_NOT_FINAL):
                    job = {**_job(first, password), "forms": False}
                    end = slot.run(job, [fd], until - time.monotonic(), on_event)
                    problem = None
    if first == "pdfium" and isinstance(problem, errors.ExtractionMemory | errors.ExtractionTimeout):
        others = []  # what is too much for pdfium is far too much for PyPDF2
    for other in others:
        if problem is not None or pages.doubtful:
            pages, problem = _second_opinion(slot, fd, limits, password, (pages, problem), other, until)
    if problem is not None:
        raise problem
    extractor = pages.engine
    if (pages.scans or pages.garbled) and limits.tesseract:
        read = _read_pictures(slot, fd, password, pages, until, listener.progress)
        if read and not sum(letters(text) for index, text in pages.texts.items() if index not in read):
            extractor = "ocr"
    texts = tuple(pages.texts.get(index, "") for index in range(pages.count))
    if not any(map(has_letters, texts)) and (pages.scans or not any(map(str.strip, texts))):
        if len(pages.failed) == pages.count:
            raise errors.BrokenPdf
        raise _no_text(pages, limits)
    return Extracted(texts, extractor, pages.locked, bookmarks(end.get("outline")))


def _job(engine: str, password: str | None, pages: Iterable[int] | None = None) -> dict[str, Any]:
    return {
        "kind": "pdf",
        "engine": engine,
        "password": password,
        "pages": None if pages is None else sorted(pages),
    }


def _second_opinion(
    slot: Slot,
    fd: int,
    limits: Limits,
    password: str | None,
    first: tuple[_Pages, errors.MivaError | None],
    engine: str,
    until: float,
) -> tuple[_Pages, errors.MivaError | None]:
    """The better of two readings, page by page; the other extractor's failures count for nothing.

    Its page is taken only when it is clean and holds more letters and digits.
    """
    pages, problem = first
    seconds = min(limits.second_opinion_s, until - time.monotonic())
    if seconds <= 0:
        return first
    second = _Pages(engine)
    wanted = None if problem is not None else pages.doubtful
    try:
        slot.run(_job(engine, password, wanted), [fd], seconds, second.take)
    except errors.MivaError:
        # Half of a document that the first extractor could not read at all would pass for the whole of it.
        if problem is not None:
            return first
    if problem is not None:
        usable = second.garbled.isdisjoint(second.texts) or len(second.garbled) * 2 < len(second.texts)
        return (second, None) if usable and any(map(letters, second.texts.values())) else first
    for index, seen in second.texts.items():
        text = with_added(seen, pages.added.get(index, ()))
        if index not in second.garbled and letters(text) > letters(pages.texts.get(index, "")):
            pages.texts[index] = text
            pages.doubtful.discard(index)
            pages.garbled.discard(index)
    return pages, None


def _read_pictures(
    slot: Slot, fd: int, password: str | None, pages: _Pages, until: float, on_progress: Progress
) -> set[int]:
    """Reads the pages whose text nobody else could read, scans and garbled ones, into `pages`, and says which of them
    gave text; ends early when time runs out."""
    read: set[int] = set()
    wanted = pages.scans | pages.garbled
    done = len(pages.texts) - len(wanted)

    def on_event(event: dict[str, Any], text: str) -> None:
        nonlocal done
        done += 1
        index = int(event["index"])
        before = 0 if index in pages.garbled else letters(pages.texts.get(index, ""))
        if letters(text) > before:
            pages.texts[index] = text
            read.add(index)
        on_progress(done, pages.count)

    try:
        job = {"kind": "ocr", "password": password, "pages": sorted(wanted)}
        slot.run(job, [fd], max(0.1, until - time.monotonic()), on_event)
    except errors.MivaError:
        if not any(map(has_letters, pages.texts.values())):
            raise
    return read


def _no_text(pages: _Pages, limits: Limits) -> errors.NoText:
    if not pages.scans:
        return errors.NoText("No text was found in this PDF: its pages are empty or hold only drawings.")
    which = "Its only page is a scan" if pages.count == 1 else f"Scans without text: {_page_list(pages.scans)}"
    if limits.tesseract:
        return errors.NoText(f"No text was found in this PDF. {which}, and reading the picture gave nothing.")
    return errors.NoText(
        f"No text was found in this PDF. {which}. Run it through a text recognition (OCR) program first, "
        "or have “tesseract” installed on the server, and scans are read here."
    )


def _page_list(indexes: Iterable[int]) -> str:
    """Zero-based page indexes as a person writes them: "pages 1–3 and 7"."""
    runs: list[list[int]] = []
    for number in sorted(index + 1 for index in indexes):
        if runs and runs[-1][-1] == number - 1:
            runs[-1][-1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    more = f" and {len(words) - 10} more places" if len(words) > 10 else ""
    words = words[:10]
    joined = ", ".join(words) + more if more or len(words) < 2 else ", ".join(words[:-1]) + " and " + words[-1]
    return ("page " if len(runs) == 1 and runs[0][0] == runs[0][1] else "pages ") + joined
