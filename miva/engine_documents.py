"""Documents on their way to the engine: with a question, ahead of one, and forgotten again (contract section 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from miva.documents.outline import Bookmark
from miva.engine_client import Link, greeted, open_link, remember
from miva.pages_ahead import PagesAhead
from miva.protocol import engine
from miva.protocol.envelope import WrappedFile
from miva.protocol.errors import EngineFailed
from miva.protocol.events import Failed, Progress

LONGEST_ENVELOPE = 10_000_000
"""Characters of text that one question's documents may have together where they travel with it."""


NOTHING_MORE_S = 5.0
"""An engine that works on at a document it has indexed says so more often than this."""


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A document as the engine gets it: `id` is its content id, `is_paged` False for plain text, `outline` its
    bookmarks."""

    id: str
    name: str
    pages: tuple[str, ...]
    is_paged: bool
    outline: tuple[Bookmark, ...] = ()


def wrapped(document: TextDocument) -> WrappedFile:
    """A document as a block of the envelope."""
    if document.is_paged:
        return WrappedFile(document.name, pages=document.pages)
    return WrappedFile(document.name, text="".join(document.pages))


async def send_documents(link: Link, documents: Sequence[TextDocument], owner: str) -> None:
    """Gives documents to an engine that keeps them."""
    for document in documents:
        await link.send(engine.document(document.id, document.name, len(document.pages), owner))
        await _send_rest(link, document, 0)


async def _send_rest(link: Link, document: TextDocument, sent: int) -> None:
    for number, page in enumerate(document.pages[sent:], sent + 1):
        await link.send(engine.page(document.id, number, page))
    await link.send(engine.document_end(document.id, document.outline))


async def index_document(
    document: TextDocument, owner: str, on_progress: Callable[[int, int], None], ahead: PagesAhead | None = None
) -> int | None:
    """Has the engine keep a document ahead of questions; returns its chunks, None where the engine keeps none.

    Of the pages that went `ahead` only the rest is sent. Returns once the document can be asked about. What the engine
    tells of its further work on it (vectors, that follow in the background) goes to `on_progress` too. Raises
    EngineFailed.
    """
    handed_over = await ahead.handed_over(document.pages) if ahead is not None else None
    link, sent = handed_over or (await open_link(documents=True), 0)
    goes_on = False
    try:
        if handed_over is not None:
            await _send_rest(link, document, sent)
        else:
            remember(await greeted(link) if link.keeps_documents else None)
            if not link.keeps_documents:
                return None
            await send_documents(link, [document], owner)
        while True:
            match engine.read(await link.receive_within(settings.MIVA_ENGINE_TIMEOUT_S), keeps_documents=True):
                case Progress(done=done, total=total):
                    on_progress(done, total)
                case engine.Indexed(id, chunks) if id == document.id:
                    goes_on = True
                    _in_background(_follow(link, on_progress))
                    return chunks
                case Failed(error):
                    raise error
    finally:
        if not goes_on:
            await link.close()


async def _follow(link: Link, on_progress: Callable[[int, int], None]) -> None:
    """Passes on what is told of a document that can be asked about, until that is complete or nothing more is told."""
    try:
        done, total = 0, 1
        while done < total:
            told = engine.read(await link.receive_within(NOTHING_MORE_S), keeps_documents=True)
            if isinstance(told, Progress):
                done, total = told.done, told.total
                on_progress(done, total)
    except EngineFailed:  # silent, or gone: that is no trouble any more
        pass
    finally:
        await link.close()


def _in_background(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work, name="following an index")
    _following.add(task)
    task.add_done_callback(_following.discard)


_following: set[asyncio.Task[None]] = set()


async def forget_document(content_id: str) -> None:
    """Tells the engine, where it keeps documents, that nobody has this one any more; raises EngineFailed."""
    link = await open_link(documents=True)
    try:
        if link.keeps_documents:
            await greeted(link)
            await link.send(engine.forget(content_id))
    finally:
        await link.close()
