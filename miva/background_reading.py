"""Documents that are read whoever still listens: those that came in pieces, and those of processes that ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from miva import document_leases, document_rows, library, stopping, upload_rows
from miva.document_news import progress_of, tell
from miva.documents import parts
from miva.engine_client import may_keep_documents
from miva.in_thread import in_thread
from miva.library import file_threads
from miva.models import Document
from miva.protocol.errors import BadField, Busy, Internal, MivaError

logger = logging.getLogger("miva.background_reading")

MOST = 50
"""Readings at once of documents that were taken over."""
TIDY_S = 3600.0

_tasks: set[asyncio.Task[None]] = set()
_tidied_at: float | None = None


async def settle(document: Document, password: str | None) -> None:
    """Checks and keeps a file that came in pieces, now that the last is here, and has it read in the background.

    Its row is leased to this process. One that its owner has already is ready at once. Raises BadField where its bytes
    are not those that were announced; what is wrong with the file itself becomes the document's state.
    """
    document_leases.hold(document.pk)
    try:
        document = await in_thread(upload_rows.settle, file_threads)(
            document, may_be_known=not password, engine_keeps=may_keep_documents()
        )
    except parts.TakenOver:  # another connection's task or process settled it, or it was deleted
        await in_thread(document_leases.drop_unless_read_here)(document.pk)
    except MivaError as why:
        await library.refuse(document, why)
        if isinstance(why, BadField):
            raise
    except Exception as why:  # no room, for one: tried again when the lease is over
        logger.exception("A file could not be kept")
        document_leases.drop(document.pk)
        raise Busy() from why
    else:
        if document.status == Document.Status.READY:
            document_leases.drop(document.pk)
            progress_of(document, document.upload_id)("extract", document.pages or 0, document.pages or 0)
        else:
            read(document, password)
        tell(document, document.upload_id)


def read(document: Document, password: str | None, upload_id: str | None = None) -> None:
    """Reads a document that is leased to this process, whoever may still be listening; `upload_id` is the id under
    which its owner hears of it, where that is not the document's own."""
    if stopping.has_begun():  # when the lease is over, another process reads it
        document_leases.drop(document.pk)
        return
    document_leases.hold(document.pk)
    _start(_read_quietly(document, password, upload_id or document.upload_id or None))


async def take_over_stale() -> int:
    """Begins to read, in the background, the documents whose process is gone; returns how many. Tidies now and then.

    For whoever calls it every few seconds, with or without a connected client.
    """
    global _tidied_at
    if stopping.has_begun():
        return 0
    now = time.monotonic()
    if _tidied_at is None or now - _tidied_at > TIDY_S:
        _tidied_at = now
        await _tidy()
    taken = await in_thread(document_leases.take_stale)(max(0, MOST - len(_tasks)))
    for document in taken:
        logger.info("A document that another process had begun to read is read again")
        _start(_take_over(document))
    return len(taken)


async def hand_over() -> None:
    """Lets other processes read at once what is being read here; this one is about to end."""
    await in_thread(document_leases.let_all_go)()
    for task in list(_tasks):
        task.cancel()
    await asyncio.gather(*_tasks, return_exceptions=True)


async def _read_quietly(document: Document, password: str | None, upload_id: str | None) -> None:
    try:
        await library.finish(document, upload_id, password=password, on_progress=progress_of(document, upload_id))
    except MivaError as why:  # told as the document's state
        logger.info("A document could not be read: %s", why.code)


async def _take_over(document: Document) -> None:
    """Reads again what another process had begun to read or to settle. A password that it knew is not known here."""
    try:
        if document.attempt > document_leases.MOST_ATTEMPTS:
            await library.refuse(document, Internal())
        elif document.status == Document.Status.RECEIVING:
            await settle(document, None)
        else:
            await in_thread(upload_rows.restore, file_threads)(document)
            await _read_quietly(document, None, document.upload_id or None)
    except MivaError as why:
        logger.info("A file that had been sent could not be taken: %s", why.code)
    except Exception:  # tried again when the lease is over
        logger.exception("A document could not be taken over")
        document_leases.drop(document.pk)


async def _tidy() -> None:
    for document in await in_thread(upload_rows.abandoned)():
        tell(document, document.upload_id)
    await in_thread(document_rows.forget_locked)()
    await asyncio.to_thread(parts.sweep)


def _start(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work, name="document")
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
