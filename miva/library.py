"""The documents of an owner: taken in, read, told to the engine, found again, forgotten."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from django.conf import settings

from miva import document_rows
from miva.documents import reader
from miva.documents.reader import Reading, Received
from miva.engine_client import engine_info
from miva.engine_turn import TextDocument, forget_document, index_document
from miva.hub import hub, owner_topic
from miva.in_thread import in_thread
from miva.models import Document
from miva.protocol.errors import Busy, EngineFailed, Internal, MivaError, NotFound, error_of

logger = logging.getLogger("miva.library")

UNREADY = (Document.Status.RECEIVING, Document.Status.READING, Document.Status.INDEXING)
StageProgress = Callable[[str, int, int], None]
"""Called with a stage (extract, index), steps done and steps in all, from any thread."""
PROGRESS_S = 0.2
"""Pages are told of at most this often, but the first and the last always."""


async def add(
    owner_id: UUID, received: Received, *, password: str | None = None, upload_id: str | None = None
) -> Document:
    """Reads a file, keeps it and its text, has the engine keep it, and returns the ready document.

    The owner's sockets hear `document` and `progress` news on the way. Raises MivaError; the row is then marked failed.
    """
    document = await begin(owner_id, received, upload_id)
    return await finish(
        document, received, upload_id, password=password, on_progress=_told_to_owner(document, upload_id)
    )


async def begin(owner_id: UUID, received: Received, upload_id: str | None) -> Document:
    """A document whose bytes are here and whose text is not yet read; raises Forbidden over the bound."""
    try:
        document = await in_thread(document_rows.create)(owner_id, received)
    except BaseException:
        received.discard()
        raise
    _tell(document, upload_id)
    return document


async def finish(
    document: Document,
    received: Received,
    upload_id: str | None,
    *,
    password: str | None,
    on_progress: StageProgress,
    index: bool = True,
) -> Document:
    """Reads and keeps what `begin` began with; `received` is discarded. Without `index` the engine is left to ask."""
    try:
        reading = await reader.read(
            received,
            password=password,
            on_progress=partial(on_progress, "extract"),
            owner=str(document.owner_id),
        )
        on_progress("extract", len(reading.pages), len(reading.pages))  # also of a file that had been read before
        await in_thread(reader.keep_original)(received)
        await in_thread(document_rows.describe_text)(document, reading, password)
        if index:
            document.chunks = await _index(document, reading, upload_id, partial(on_progress, "index"))
        await in_thread(document_rows.save)(document, Document.Status.READY)
    except asyncio.CancelledError:
        await asyncio.shield(_fail(document, Busy("Reading this file was stopped."), upload_id))
        raise
    except MivaError as why:
        await _fail(document, why, upload_id)
        raise
    except Exception as why:
        logger.exception("A document could not be taken in")
        await _fail(document, Internal(), upload_id)
        raise Internal() from why
    finally:
        received.discard()
    _tell(document, upload_id)
    return document


async def abandon(document: Document, upload_id: str | None) -> None:
    """Marks a document as failed whose question came to nothing before it was read."""
    await _fail(document, Busy("The question with this file was not taken."), upload_id)


async def wait_until_read(documents: Sequence[Document]) -> list[Document]:
    """The same documents once none of them is still being read; raises the code of one that failed as an error."""
    deadline = time.monotonic() + 2 * settings.MIVA_PDF_TIMEOUT_S + settings.MIVA_ENGINE_TIMEOUT_S
    current = list(documents)
    while any(document.status in UNREADY for document in current) and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
        current = await in_thread(document_rows.fresh)([document.pk for document in documents])
    for document in current:
        if document.status == Document.Status.FAILED:
            raise error_of(document.error)(f"The document “{document.name}” could not be read.")
        if document.status != Document.Status.READY:
            raise Busy(f"The document “{document.name}” is still being read. Please ask again in a moment.")
    return current


async def load_texts(owner_id: UUID, content_ids: Sequence[str]) -> list[TextDocument]:
    """The texts of an owner's documents by content id, read again from the kept file where the text is gone."""
    found = []
    for document in await in_thread(document_rows.by_content)(owner_id, content_ids):
        reading = await in_thread(document_rows.kept_reading)(document)
        if reading is None and not document.text_name:
            received = await in_thread(document_rows.received_again)(document)
            try:
                reading = await reader.read(received)
            finally:
                received.discard()
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
    return TextDocument(document.content_id, document.name, reading.pages, reading.media_type == "application/pdf")


def _told_to_owner(document: Document, upload_id: str | None) -> StageProgress:
    """Tells the owner's sockets how far the work on a document is, from any thread and not too often."""
    topic, about = owner_topic(document.owner_id), {"id": upload_id, "document": str(document.pk)}

    def on_progress(stage: str, done: int, total: int) -> None:
        hub.tell_from_anywhere(topic, {"kind": "progress", "stage": stage, "done": done, "total": total, **about})

    return sparse(on_progress)


def sparse(on_progress: StageProgress) -> StageProgress:
    """The same, but told once for each step, and at most every PROGRESS_S seconds but for a stage's first and last."""
    told_at, told = 0.0, ("", 0)

    def seldom(stage: str, done: int, total: int) -> None:
        nonlocal told_at, told
        now = time.monotonic()
        if (stage, done) != told and (done <= 1 or done >= total or now - told_at >= PROGRESS_S):
            told_at, told = now, (stage, done)
            on_progress(stage, done, total)

    return seldom


def _tell(document: Document, upload_id: str | None) -> None:
    news = {"kind": "document", "id": upload_id or str(document.pk), "document": document_rows.described(document)}
    hub.tell_from_anywhere(owner_topic(document.owner_id), news)


async def _index(
    document: Document, reading: Reading, upload_id: str | None, on_progress: Callable[[int, int], None]
) -> int:
    """Chunks the engine made of a document; 0 where it keeps none, or is away: a question brings it the text then."""
    if (await engine_info()).keeps_documents:
        await in_thread(document_rows.save)(document, Document.Status.INDEXING)
        _tell(document, upload_id)
    try:
        return await index_document(as_text_document(document, reading), str(document.owner_id), on_progress) or 0
    except EngineFailed as why:
        logger.warning("The engine did not take a document (%s); it will get it with a question", why.message)
        return 0


async def _fail(document: Document, why: MivaError, upload_id: str | None) -> None:
    await in_thread(document_rows.fail)(document, why.code)
    _tell(document, upload_id)
