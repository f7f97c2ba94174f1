"""One question to the engine over a connection of its own (contract section 4), as a stream of events with one end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.conf import settings

from miva.engine_client import Address, EngineClosed, Link, greeted, open_at, open_link, remember
from miva.protocol import engine
from miva.protocol.envelope import WrappedFile, wrap
from miva.protocol.errors import EngineError, EngineFailed, EngineTimeout, EngineUnavailable, FileTooLarge, MivaError
from miva.protocol.events import Delta, Done, Event, Failed, Progress, Reply, Source, Sources, Thinking

QUIET_S = 1.0
"""Silence behind an untyped frame that ends a turn (contract section 4)."""
THINKING_S = 1.0
"""How long a numbered turn waits for the engine's first word before it tells that the engine is thinking: an untyped
engine's whole reply, or a cancel, may come first (contract, v1-untyped-engine.jsonl and v1-queue-cancel.jsonl)."""
LATE_S = 60.0
"""How long after a turn's end an untyped engine is still listened to."""
TOO_LONG = "The answering engine took too long for the whole answer, so it was stopped."
LONGEST_ENVELOPE = 10_000_000
"""Characters of text that one question's documents may have together where they travel with it."""


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A document as the engine gets it: `id` is its content id, `is_paged` False for plain text."""

    id: str
    name: str
    pages: tuple[str, ...]
    is_paged: bool


@dataclass(frozen=True)
class EngineQuestion:
    """What to ask. `load` fetches the texts of documents (by content id), only when the engine wants them."""

    message: str
    documents: Sequence[str]
    load: Callable[[Sequence[str]], Awaitable[list[TextDocument]]]
    owner: str
    characters: int = 0
    """Text of all documents together."""
    history: Sequence[dict[str, str]] = ()
    unique_id: str = field(default_factory=lambda: str(uuid4()))
    options: dict[str, Any] | None = field(default_factory=dict)
    """What the asker chose (model, temperature …), for an engine that keeps documents; None without a choice."""
    thinking_after_s: float = THINKING_S


class EngineTurn:
    """Asks once; iterate `events`. `cancel` stops the engine from another task. `at` asks one engine in particular."""

    def __init__(self, question: EngineQuestion, at: Address | None = None) -> None:
        self._question = question
        self._at = at
        self._link: Link | None = None
        self._text: list[str] = []
        self._replies: list[str] = []
        self._sources: tuple[Source, ...] = ()
        self._heard = False
        self._last_was_untyped = False
        self._has_thought = False
        self._waited_s = 0.0

    async def events(self) -> AsyncGenerator[Event, None]:
        """Thinking, Delta, Reply, Progress …, then exactly one Done or Failed; after a Done perhaps late Replies."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + settings.MIVA_ENGINE_TOTAL_S
        tried: set[str] = set()
        try:
            for attempt in (1, 2):
                try:
                    async for event in self._attempt(tried, ends_at):
                        yield event
                    return
                except EngineClosed as why:
                    if self._heard or attempt == 2:
                        yield self._end_of_closed(why)
                        return
        except asyncio.CancelledError:
            await self.cancel()
            raise
        except MivaError as why:
            yield Failed(why)
        finally:
            if self._link is not None:
                await self._link.close()

    async def cancel(self) -> None:
        """Tells the engine to stop and closes the connection."""
        if self._link is not None:
            await self._link.close(farewell=engine.cancel(self._question.unique_id))

    async def _attempt(self, tried: set[str], ends_at: float) -> AsyncIterator[Event]:
        link = self._link = await self._connect(tried)
        tried.add(link.address.url)
        remember(await greeted(link) if link.keeps_documents else None)
        await link.send(await self._frame(link))
        while True:
            event = await self._next(link, ends_at)
            if not self._has_thought and isinstance(event, Thinking | Delta | Sources | Done):
                self._has_thought = True
                yield Thinking()
            match event:
                case None:
                    yield self._done(Done("", ()))
                    break
                case engine.Need(wanted):
                    await self._give(link, wanted)
                case Thinking() | engine.EngineHello() | engine.Indexed():
                    pass  # told above; the others are between relay and engine
                case Sources(sources):
                    self._sources = sources
                case Delta(text):
                    self._text.append(text)
                    yield event
                case Reply(text=text):
                    self._replies.append(text)
                    yield event
                case Done():
                    yield self._done(event)
                    return
                case Failed():
                    yield event
                    return
                case Progress():
                    yield event
        async for late in self._late(link):
            yield late

    async def _connect(self, tried: set[str]) -> Link:
        if self._at is None:
            return await open_link(documents=True, tried=tried)
        try:
            return await open_at(self._at, documents=True)
        except OSError as why:
            raise EngineUnavailable() from why

    async def _next(self, link: Link, ends_at: float) -> engine.EngineEvent | None:
        """The engine's next word; None after the quiet that ends an untyped answer."""
        left = ends_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise EngineTimeout(TOO_LONG)
        patience = QUIET_S if self._last_was_untyped else settings.MIVA_ENGINE_TIMEOUT_S - self._waited_s
        is_to_think = not (self._has_thought or self._last_was_untyped) and self._question.thinking_after_s < patience
        if is_to_think:
            patience = self._question.thinking_after_s
        try:
            event = engine.read(await link.receive_within(min(patience, left)), keeps_documents=link.keeps_documents)
        except EngineTimeout:
            if patience >= left:
                raise EngineTimeout(TOO_LONG) from None
            if is_to_think:
                self._waited_s = patience
                return Thinking()
            if self._last_was_untyped:
                return None
            raise
        self._heard = True
        self._waited_s = 0.0
        self._last_was_untyped = isinstance(event, Reply)
        return event

    async def _late(self, link: Link) -> AsyncIterator[Reply]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LATE_S
        try:
            while True:
                frame = await link.receive_within(ends_at - loop.time())
                event = engine.read(frame)
                text = event.text if isinstance(event, Reply | Delta) else frame
                yield Reply(frame, text, late=True)
        except EngineFailed:
            return

    async def _frame(self, link: Link) -> str:
        asked = self._question
        if link.keeps_documents:
            return engine.question(asked.message, asked.unique_id, asked.history, asked.documents, asked.options)
        if asked.characters > LONGEST_ENVELOPE:
            raise FileTooLarge("The documents of this question have too much text together. Ask about fewer of them.")
        documents = await asked.load(asked.documents)
        if not documents:
            return engine.question(asked.message, asked.unique_id, asked.history)
        message = wrap(asked.message, [wrapped(document) for document in documents])
        return engine.question(message, asked.unique_id, asked.history)

    async def _give(self, link: Link, wanted: Sequence[str]) -> None:
        """Sends what the engine asks for of the documents that this question is about, one in memory at a time."""
        for id in wanted:
            if id in self._question.documents:
                await send_documents(link, await self._question.load([id]), self._question.owner)

    def _done(self, done: Done) -> Done:
        text = done.text or "".join(self._text) or "\n\n".join(self._replies)
        return Done(text, done.sources or self._sources)

    def _end_of_closed(self, why: EngineClosed) -> Event:
        """A connection's end after some frames ends the answer, unless it broke in the middle of a typed one."""
        if self._replies or (self._text and why.clean):
            return self._done(Done("", ()))
        return Failed(EngineError("The answering engine broke off in the middle." if self._text else None))


def wrapped(document: TextDocument) -> WrappedFile:
    """A document as a block of the envelope."""
    if document.is_paged:
        return WrappedFile(document.name, pages=document.pages)
    return WrappedFile(document.name, text="".join(document.pages))


async def send_documents(link: Link, documents: Sequence[TextDocument], owner: str) -> None:
    """Gives documents to an engine that keeps them."""
    for document in documents:
        await link.send(engine.document(document.id, document.name, len(document.pages), owner))
        for number, page in enumerate(document.pages, 1):
            await link.send(engine.page(document.id, number, page))
        await link.send(engine.document_end(document.id))


async def index_document(document: TextDocument, owner: str, on_progress: Callable[[int, int], None]) -> int | None:
    """Has the engine keep a document ahead of questions; returns its chunks, None where the engine keeps none.

    Raises EngineFailed.
    """
    link = await open_link(documents=True)
    try:
        remember(await greeted(link) if link.keeps_documents else None)
        if not link.keeps_documents:
            return None
        await send_documents(link, [document], owner)
        while True:
            match engine.read(await link.receive_within(settings.MIVA_ENGINE_TIMEOUT_S), keeps_documents=True):
                case Progress(done=done, total=total):
                    on_progress(done, total)
                case engine.Indexed(id, chunks) if id == document.id:
                    return chunks
                case Failed(error):
                    raise error
    finally:
        await link.close()


async def forget_document(content_id: str) -> None:
    """Tells the engine, where it keeps documents, that nobody has this one any more; raises EngineFailed."""
    link = await open_link(documents=True)
    try:
        if link.keeps_documents:
            await greeted(link)
            await link.send(engine.forget(content_id))
    finally:
        await link.close()
