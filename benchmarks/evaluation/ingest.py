"""How soon a file can be asked about: the first answer while it is read and indexed, and of a file seen before."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pypdfium2

from benchmarks.evaluation import scoring
from benchmarks.evaluation.asking import INDEXED_S, warm_up
from benchmarks.evaluation.door import Door, Upload, knock
from benchmarks.evaluation.long_document import LongDocument
from benchmarks.evaluation.product import Running, Stopwatch
from benchmarks.evaluation.scoring import Said

LOOKS = 20
_READINGS = 5
_EARLY = 1
"""The page that is asked about first: it is there before the others."""
_NEVER_S = 10.0
"""So long after the last news of a file that is whole, an answer that is still wrong will not become right."""


@dataclass(frozen=True, slots=True)
class Query:
    """Questions about pages all over the document when nothing is indexed any more.

    `right` is the per cent that were answered rightly, `done_s` the median until an answer's end, `cpu_s` the mean
    processor time of one.
    """

    right: float
    done_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Ingest:
    """Seconds from the beginning of a file's upload: to the first right answer, until it is ready (can be asked about),
    until all of it is indexed; processor seconds until then; seconds to a right answer when the file comes again.

    `progress` is what was known of the work when the first right answer came.
    """

    pages: int
    first_answer_s: float
    ready_s: float
    indexed_s: float
    cpu_s: float
    again_s: float
    progress: str
    query: Query


def alone(pdf: bytes) -> float:
    """Seconds that pdfium by itself takes for the text of all pages, the least of some: nobody who reads a document to
    its end answers sooner."""
    return min(_read_alone(pdf) for _ in range(_READINGS))


def _read_alone(pdf: bytes) -> float:
    began = time.perf_counter()
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            page.get_textpage().get_text_range()
    return time.perf_counter() - began


async def take_in(running: Running, document: LongDocument) -> Ingest:
    """Sends the document, asks about its first page until it is told, then about pages of all of it.

    Raises RuntimeError where a page is never found.
    """
    async with knock(running.url) as door:
        await warm_up(door)
        watch = Stopwatch(running)
        upload = await door.send_file("register.pdf", document.pdf)
        await _ask_until_told(door, upload, document)
        first_answer_s, progress = watch.seconds(), _told(upload)
        indexed_s = await door.all_indexed([upload], INDEXED_S) - watch.began
        cpu_s = watch.cpu_s()
        query = await _query(door, running, upload, document)
        began = time.perf_counter()
        again = await door.send_file("the same register.pdf", document.pdf)
        await _ask_until_told(door, again, document)
        return Ingest(
            document.pages,
            first_answer_s,
            upload.ready - watch.began,
            indexed_s,
            cpu_s,
            time.perf_counter() - began,
            progress,
            query,
        )


def middle(files: Sequence[Ingest]) -> Ingest:
    """The median of each figure over some files of the same size; what was known is the first one's."""

    def of(figure: Callable[[Ingest], float]) -> float:
        return statistics.median(map(figure, files))

    query = Query(of(lambda one: one.query.right), of(lambda one: one.query.done_s), of(lambda one: one.query.cpu_s))
    return Ingest(
        files[0].pages,
        of(lambda one: one.first_answer_s),
        of(lambda one: one.ready_s),
        of(lambda one: one.indexed_s),
        of(lambda one: one.cpu_s),
        of(lambda one: one.again_s),
        files[0].progress,
        query,
    )


async def _ask_until_told(door: Door, upload: Upload, document: LongDocument) -> None:
    """An engine answers from what it has, so that a first answer may come before the page that is asked about."""
    while not _is_right(said := await _asked(door, upload, document, _EARLY), document, _EARLY):
        if upload.is_whole and time.perf_counter() - upload.heard > _NEVER_S:
            raise RuntimeError(f"Page {_EARLY} of {upload.name} is not found, and all is indexed: {said.text[:500]}")
        await asyncio.sleep(0.02)


async def _query(door: Door, running: Running, upload: Upload, document: LongDocument) -> Query:
    count = document.pages
    pages = [1 + at * (count - 1) // max(1, LOOKS - 1) for at in range(LOOKS)]
    watch = Stopwatch(running)
    told = [(page, await _asked(door, upload, document, page)) for page in pages]
    cpu_s = watch.cpu_s() / len(told)
    right = [_is_right(said, document, page) for page, said in told]
    return Query(scoring.share(right), scoring.quantile([said.done_s for _, said in told], 0.5), cpu_s)


async def _asked(door: Door, upload: Upload, document: LongDocument, page: int) -> Said:
    return await door.ask(document.question(page), {upload.document: upload.name})


def _is_right(said: Said, document: LongDocument, page: int) -> bool:
    return scoring.contains_words(said.text, [document.answer(page)])


def _told(upload: Upload) -> str:
    if not upload.stage:
        return "nothing was told of its pages yet"
    return f"{upload.stage}: {upload.done:,} of {upload.total:,}"
