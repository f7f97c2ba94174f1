"""The documents of an owner: taken in, read, told to the engine, found again, forgotten.

A document's row is leased to the process that reads it. When that process dies, another reads the kept original again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

from django.conf import settings

from miva import database_away, document_leases, document_rows, no_room, stopping
from miva.document_leases import UNREADY
from miva.document_news import StageProgress, progress_of, sparse, tell
from miva.documents import reader
from miva.documents.intake import PDF
from miva.documents.reader import Listener, Reading, Received
from miva.engine_client import engine_info, may_keep_documents
from miva.engine_documents import TextDocument, forget_document, index_document
from miva.hub import hub, owner_topic
from miva.in_thread import in_thread
from miva.models import Document
from miva.pages_ahead import PagesAhead
from miva.protocol.errors import Busy, EngineFailed, Internal, MivaError, NotFound, error_of

__all__ = [
    "StageProgress", "abandon", "add", "as_text_document", "begin", "file_threads", "finish", "forget", "load_texts",
    "refuse", "sparse", "wait_until_read",
]  # fmt: skip

logger = logging.getLogger("miva.library")

LOOK_S = 0.3
"""How often a question looks whether its documents are read, beside what it hears of them."""
LONGEST_WAIT_S = 3600.0
"""How long a question waits for a document at most, however lively that is."""

FILE_THREADS = 2
file_threads = ThreadPoolExecutor(max_workers=FILE_THREADS, thread_name_prefix="files")
"""Hashes and writes whole files, which takes longer than what other threads do."""


async def add(
    owner_id: UUID, received: Received, *, password: str | None = None, upload_id: str | None = None
) -> Document:
    """Reads a file, keeps it and its text, has the engine keep it, and returns the ready document.

    The owner's sockets hear `document` and `progress` news on the way. Raises MivaError; the row is then marked failed.
    """
    document = await _begin(owner_id, received, upload_id, is_own_id=True)
    return await finish(document, upload_id, password=password, on_progress=progress_of(document, upload_id))


async def begin(owner_id: UUID, received: Received, upload_id: str | None) -> Document:
    """A document whose bytes are kept and whose text is not yet read; `received` is discarded.

    It is leased to this process until `finish` or `abandon`. Raises Forbidden over the bound.
    """
    return await _begin(owner_id, received, upload_id, is_own_id=False)


async def finish(
    document: Document,
    upload_id: str | None,
    *,
    password: str | None,
    on_progress: StageProgress,
    index: bool = True,
) -> Document:
    """Reads and keeps the text of what `begin` began with; waits for it where another process is at it by now.

    Without `index` the engine is left to ask. Cancelled, it lets another process read the document instead.
    """
    is_ours = False
    try:
        if await in_thread(document_leases.take)(document.pk):
            is_ours = await _read(document, upload_id, password, on_progress, index)
    except asyncio.CancelledError:
        await asyncio.shield(in_thread(document_leases.let_go)(document.pk))
        raise
    except MivaError as why:
        await _fail(document, why, upload_id)
        raise
    except database_away.UNREACHABLE:  # no fault of the file's: whoever takes it over reads it again
        raise
    except Exception as why:
        logger.exception("A document could not be taken in")
        await _fail(document, Internal(), upload_id)
        raise Internal() from why
    finally:
        document_leases.drop(document.pk)
    if not is_ours:
        try:
            [document] = await wait_until_read([document])
        except NotFound:  # deleted meanwhile, perhaps before all was kept that is kept now
            await in_thread(document_rows.forget_unused)(document.sha256)
            raise
        on_progress("extract", document.pages or 0, document.pages or 0)
    tell(document, upload_id)
    return document


async def refuse(document: Document, why: MivaError) -> None:
    """Marks a document as failed whose bytes cannot be taken; what has come of them goes."""
    await _fail(document, why, document.upload_id)


async def abandon(document: Document, upload_id: str | None) -> None:
    """Marks a document as failed whose question came to nothing before it was read."""
    await _fail(document, Busy("The question with this file was not taken."), upload_id)


async def wait_until_read(documents: Sequence[Document], may_fail: Collection[UUID] = ()) -> list[Document]:
    """The same documents once none of them is still being received or read; raises the code of one that failed.

    Those of `may_fail` are left out instead. Patience is counted from the last sign of life: bytes that came, a lease
    that was renewed.
    """
    patience = 2 * settings.MIVA_PDF_TIMEOUT_S + settings.MIVA_ENGINE_TIMEOUT_S
    news = asyncio.Event()
    deaf = [
        hub.subscribe(owner_topic(owner_id), lambda _: news.set())
        for owner_id in {document.owner_id for document in documents}
    ]
    try:
        return await _watch(documents, may_fail, news, patience)
    finally:
        for unsubscribe in deaf:
            unsubscribe()


async def _watch(
    documents: Sequence[Document], may_fail: Collection[UUID], news: asyncio.Event, patience: float
) -> list[Document]:
    began = time.monotonic()
    current, signs, seen = list(documents), None, began
    while any(document.status != Document.Status.READY for document in current):
        news.clear()
        fresh = await in_thread(document_rows.fresh)([document.pk for document in documents])
        current = [one for one in fresh if one.status != Document.Status.FAILED or one.pk not in may_fail]
        failed = [document for document in current if document.status == Document.Status.FAILED]
        if failed:
            raise error_of(failed[0].error)(" ".join(map(_refusal_of, failed)))
        unready = [document for document in current if document.status in UNREADY]
        now = time.monotonic()
        last, signs = signs, [(document.status, document.lease_until) for document in current]
        seen = now if signs != last else seen
        if unready and (now - seen > patience or now - began > LONGEST_WAIT_S):
            raise Busy(f"The document “{unready[0].name}” is still being read. Please ask again in a moment.")
        if unready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await news.wait()
    return current


def _refusal_of(document: Document) -> str:
    return f"The document “{document.name}” could not be read. {document_rows.reason(document)}"


async def load_texts(owner_id: UUID, content_ids: Sequence[str]) -> list[TextDocument]:
    """The texts of an owner's documents by content id, read again from the kept file where the text is gone."""
    found = []
    for document in await in_thread(document_rows.by_content)(owner_id, content_ids):
        reading = await in_thread(document_rows.kept_reading)(document)
        if reading is None and not document.text_name:
            try:
                reading = await reader.read(document_rows.original(document))
            except FileNotFoundError as why:
                raise NotFound(f"The file “{document.name}” is gone. Please send it again.") from why
        if reading is None:
            raise NotFound(f"The text of “{document.name}” is gone. Please send the file again.")
        found.append(as_text_document(document, reading))
    return found


async def forget(owner_id: UUID, document_id: UUID) -> None:
    """Deletes a document, and its text and file where nobody else has the same; raises NotFound."""
    content_id = await in_thread(document_rows.delete)(owner_id, document_id)
    if content_id:
        try:
            await forget_document(content_id)
        except EngineFailed:
            logger.warning("The engine could not be told to forget a document")


def as_text_document(document: Document, reading: Reading) -> TextDocument:
    is_paged = reading.media_type == PDF
    return TextDocument(document.content_id, document.name, reading.pages, is_paged, reading.outline)


async def _begin(owner_id: UUID, received: Received, upload_id: str | None, *, is_own_id: bool) -> Document:
    try:
        document = await in_thread(document_rows.create)(owner_id, received, (upload_id or "") if is_own_id else "")
        if document.status == Document.Status.READING:
            document_leases.hold(document.pk)
            tell(document, upload_id)
        try:
            await in_thread(reader.keep, file_threads)(received)
        except OSError as why:
            await _fail(document, Busy(), upload_id)
            raise no_room.told(why) from why
    finally:
        received.discard()
    return document


async def _read(
    document: Document, upload_id: str | None, password: str | None, on_progress: StageProgress, index: bool
) -> bool:
    """Reads, stores and indexes; False where this process was not the reader any more.

    Nothing of that for a file that its owner has already: should the engine have lost it, a question brings it there.
    """
    if not password and await in_thread(document_rows.describe_as_before)(document, may_keep_documents()):
        on_progress("extract", document.pages or 0, document.pages or 0)
        return await in_thread(document_rows.save)(document, Document.Status.READY)
    ahead = PagesAhead(document.content_id, document.name, str(document.owner_id))
    # What a password opens is kept under another id, which is known only when it has been read.
    goes_ahead = index and not password and document.media_type == PDF and may_keep_documents()
    listener = Listener(partial(on_progress, "extract"), *([ahead.add] if goes_ahead else []))
    try:
        reading = await _text_of(document, password, listener)
        on_progress("extract", len(reading.pages), len(reading.pages))  # also of a file that had been read before
        await in_thread(document_rows.describe_text)(document, reading, password)
        if index:
            if not await _begin_to_index(document, upload_id):
                return False
            document.chunks = await _index(document, reading, partial(on_progress, "index"), ahead)
    finally:
        await ahead.close()
    return await in_thread(document_rows.save)(document, Document.Status.READY)


async def _text_of(document: Document, password: str | None, listener: Listener) -> Reading:
    try:
        return await reader.read(
            document_rows.original(document), password=password, listener=listener, owner=str(document.owner_id)
        )
    except FileNotFoundError as why:
        raise NotFound("The file is gone. Please send it again.") from why


async def _begin_to_index(document: Document, upload_id: str | None) -> bool:
    """False where this process is not the reader any more: the document was deleted, for one."""
    if not (await engine_info()).keeps_documents:
        return True
    is_ours = await in_thread(document_rows.save)(document, Document.Status.INDEXING)
    if is_ours:
        tell(document, upload_id)
    return is_ours


async def _index(
    document: Document, reading: Reading, on_progress: Callable[[int, int], None], ahead: PagesAhead
) -> int:
    """Chunks the engine made of a document; 0 where it keeps none, or is away: a question brings it the text then."""
    try:
        told = as_text_document(document, reading)
        return await index_document(told, str(document.owner_id), on_progress, ahead) or 0
    except EngineFailed as why:
        logger.warning("The engine did not take a document (%s); it will get it with a question", why.message)
        return 0


async def _fail(document: Document, why: MivaError, upload_id: str | None) -> None:
    """Ends the work on a document with an error; while the server stops, lets another process do it instead."""
    try:
        if stopping.has_begun() and isinstance(why, Busy | Internal):
            await in_thread(document_leases.let_go)(document.pk)
        elif await in_thread(document_rows.fail)(document, why):
            tell(document, upload_id)
    finally:
        document_leases.drop(document.pk)
