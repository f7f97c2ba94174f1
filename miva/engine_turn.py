"""One question to the engine over a connection of its own (contract section 4), as a stream of events with one end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import uuid4

from django.conf import settings

from miva.engine_client import START_S, Address, EngineClosed, Link, greeted, open_at, open_link, remember
from miva.engine_documents import LONGEST_ENVELOPE, TextDocument, send_documents, wrapped
from miva.history import LONGEST_ANSWER, storable
from miva.protocol import engine
from miva.protocol.envelope import wrap
from miva.protocol.errors import EngineError, EngineFailed, EngineTimeout, EngineUnavailable, FileTooLarge, MivaError
from miva.protocol.events import BETWEEN_REPLIES, Delta, Done, Event, Failed, Progress, Reply, Source, Sources, Thinking

QUIET_S = 1.0
"""Silence behind an untyped frame that ends a turn (contract section 4)."""
THINKING_S = 1.0
"""How long a numbered turn waits for the engine's first word before it tells that the engine is thinking: an untyped
engine's whole reply, or a cancel, may come first (contract, v1-untyped-engine.jsonl and v1-queue-cancel.jsonl)."""
LATE_S = 60.0
"""How long after a turn's end an untyped engine is still listened to."""
TOO_LONG = "The answering engine took too long for the whole answer, so it was stopped."
MOST_SAID = 10 * LONGEST_ANSWER
"""Characters of all that an engine says in one turn: more than are kept of an answer, and than one frame can have."""
TOO_MUCH = f"The answer is too long: the answering engine was stopped after {MOST_SAID:,} characters."


class EngineBroke(EngineError):
    """The connection broke after the engine had begun to answer, and before its end; it may be asked again."""

    sentence = "The answering engine broke off in the middle."


@dataclass(frozen=True)
class EngineQuestion:
    """What to ask. `load` fetches the texts of documents (by content id), only when the engine wants them."""

    message: str
    documents: Sequence[str]
    load: Callable[[Sequence[str]], Awaitable[list[TextDocument]]]
    owner: str
    names: Mapping[str, str] = field(default_factory=dict)
    """What the asker calls the documents."""
    characters: int = 0
    """Text of all documents together."""
    history: Sequence[dict[str, str]] = ()
    unique_id: str = field(default_factory=lambda: str(uuid4()))
    options: dict[str, Any] | None = field(default_factory=dict)
    """What the asker chose (model, temperature …), for an engine that keeps documents; None without a choice."""
    thinking_after_s: float = THINKING_S
    may_join: bool = True
    """Whether pieces of the answer that came together may be told as one: a `delta` may, a `stream` not (contract,
    the transcripts' README)."""
    is_repeated: bool = False
    """Whether an engine was asked before, and broke off: that it is thinking is not told again (v1-resume.jsonl), and
    an engine that is on its way up again is waited for."""


async def let_go(opening: asyncio.Task[Link]) -> None:
    """Ends a connection that was begun ahead of a question that is not asked now."""
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError, EngineFailed):
        link = await opening
        await link.close()


class EngineTurn:
    """Asks once; iterate `events`. `cancel` stops the engine from another task.

    `at` asks one engine in particular; `opening` is a connection that was begun ahead of the question (`open_link`).
    """

    def __init__(
        self, question: EngineQuestion, at: Address | None = None, opening: asyncio.Task[Link] | None = None
    ) -> None:
        self._question = question
        self._at = at
        self._opening = opening
        self._link: Link | None = None
        self._text: list[str] = []
        self._replies: list[str] = []
        self._said = 0
        """Characters of those pieces, and of the frames of those replies."""
        self._sources: tuple[Source, ...] = ()
        self.indexed: dict[str, int] = {}
        """Of the question's documents (by content id) those that the engine has taken meanwhile, and their chunks."""
        self._heard = False
        self._last_was_untyped = False
        self._has_thought = question.is_repeated
        self._waited_s = 0.0

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Thinking, Delta, Reply, Progress …, then exactly one Done or Failed; after a Done perhaps late Replies.

        Those that came together come together; pieces of the answer that followed on each other then are one.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + settings.MIVA_ENGINE_TOTAL_S
        tried: set[str] = set()
        try:
            for attempt in (1, 2):
                try:
                    async for told in self._attempt(tried, ends_at):
                        yield told
                    return
                except EngineClosed as why:
                    if self._heard or attempt == 2:
                        yield [self._end_of_closed(why)]
                        return
        except asyncio.CancelledError:
            await self.cancel()
            raise
        except MivaError as why:
            yield [Failed(why)]
        finally:
            if self._link is not None:
                await self._link.close()

    async def cancel(self) -> None:
        """Tells the engine to stop and closes the connection."""
        if self._link is not None:
            await self._link.close(farewell=engine.cancel(self._question.unique_id))

    async def _attempt(self, tried: set[str], ends_at: float) -> AsyncIterator[list[Event]]:
        link = self._link = await self._connect(tried)
        tried.add(link.address.url)
        hello = await greeted(link) if link.keeps_documents else None
        remember(hello)
        await link.send(await self._frame(hello))
        while said := await self._next(link, ends_at):
            told = self._told(said)
            if told:
                yield told
                if isinstance(told[-1], Done | Failed):
                    return
            if self._said > MOST_SAID:
                await self.cancel()
                raise EngineError(TOO_MUCH)
            for event in said:
                if isinstance(event, engine.Need):
                    await self._give(link, event.documents)
        yield [self._done(Done("", ()))]
        async for late in self._late(link):
            yield late

    def _told(self, said: Sequence[engine.EngineEvent]) -> list[Event]:
        """What a client is told of what the engine said at once, up to the end of the answer where that is in it."""
        told: list[Event] = []
        for are_pieces, neighbours in groupby(said, key=_is_piece):
            if are_pieces:
                told += self._pieces([event.text for event in neighbours if isinstance(event, Delta)])
                continue
            for event in neighbours:
                told += self._told_of(event)
                if told and isinstance(told[-1], Done | Failed):
                    return told
        return told

    def _pieces(self, texts: Sequence[str]) -> Iterator[Event]:
        if not self._has_thought:
            self._has_thought = True
            yield Thinking()
        for text in ["".join(texts)] if self._question.may_join else texts:
            kept = storable(text)  # told as it is stored
            self._text.append(kept)
            self._said += len(text)
            if kept:
                yield Delta(kept)

    def _told_of(self, event: engine.EngineEvent) -> Iterator[Event]:
        if not self._has_thought and isinstance(event, Thinking | Sources | Done):
            self._has_thought = True
            yield Thinking()
        match event:
            case Sources(sources):
                self._sources = sources
            case Reply(frame, text):
                self._has_thought = True  # an answer has begun
                self._replies.append(text)
                self._said += len(frame)
                yield event
            case Done():
                yield self._done(event)
            case Failed() | Progress():
                yield event
            case engine.Indexed(id, chunks) if id in self._question.documents:
                self.indexed[id] = chunks
            case _:
                pass  # thinking was told above; the others are between relay and engine

    async def _connect(self, tried: set[str]) -> Link:
        if self._at is not None:
            try:
                return await open_at(self._at, documents=True)
            except OSError as why:
                raise EngineUnavailable() from why
        opening, self._opening = self._opening, None
        if opening is not None:
            with contextlib.suppress(EngineUnavailable):  # it was tried once; now there is patience
                return await opening
        patience_s = START_S if self._question.is_repeated else settings.MIVA_ENGINE_CONNECT_S
        return await open_link(documents=True, tried=tried, patience_s=patience_s)

    async def _next(self, link: Link, ends_at: float) -> list[engine.EngineEvent]:
        """The engine's next words; none after the quiet that ends an untyped answer."""
        left = ends_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise EngineTimeout(TOO_LONG)
        patience = QUIET_S if self._last_was_untyped else settings.MIVA_ENGINE_TIMEOUT_S - self._waited_s
        is_to_think = not (self._has_thought or self._last_was_untyped) and self._question.thinking_after_s < patience
        if is_to_think:
            patience = self._question.thinking_after_s
        try:
            async with asyncio.timeout(min(patience, left)):
                frames = await link.receive_all()
        except TimeoutError:
            if patience >= left:
                raise EngineTimeout(TOO_LONG) from None
            if is_to_think:
                self._waited_s = patience
                return [Thinking()]
            if self._last_was_untyped:
                return []
            raise EngineTimeout() from None
        said = [engine.read(frame, keeps_documents=link.keeps_documents) for frame in frames]
        self._heard = True
        self._waited_s = 0.0
        self._last_was_untyped = isinstance(said[-1], Reply)
        return said

    async def _late(self, link: Link) -> AsyncIterator[list[Event]]:
        ends_at = asyncio.get_running_loop().time() + LATE_S
        while True:
            try:
                async with asyncio.timeout_at(ends_at):
                    frames = await link.receive_all()
            except (EngineFailed, TimeoutError):
                return
            self._said += sum(map(len, frames))
            if self._said > MOST_SAID:
                return
            yield [_late_reply(frame) for frame in frames]

    async def _frame(self, hello: engine.EngineHello | None) -> str:
        """The question for an engine that keeps documents, or else (None) with their texts in it."""
        asked = self._question
        if hello is not None:
            names = asked.names if hello.name == engine.OURS else None
            return engine.question(asked.message, asked.unique_id, asked.history, asked.documents, asked.options, names)
        if asked.characters > LONGEST_ENVELOPE:
            raise FileTooLarge("The documents of this question have too much text together. Ask about fewer of them.")
        documents = await asked.load(asked.documents) if asked.documents else []
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
        text = done.text or "".join(self._text) or BETWEEN_REPLIES.join(self._replies)
        return Done(text, done.sources or self._sources)

    def _end_of_closed(self, why: EngineClosed) -> Event:
        """A connection's end after some frames ends the answer, unless it broke in the middle of a typed one.

        What stands before the pieces of an answer (a stray frame that no word of the contract fits) does not make them
        whole; a reply behind them does, as the quiet behind it would.
        """
        is_whole = why.clean or self._last_was_untyped or not self._text
        if is_whole and (self._replies or self._text):
            return self._done(Done("", ()))
        return Failed(EngineError() if why.clean or not self._heard else EngineBroke())


def _is_piece(event: engine.EngineEvent) -> bool:
    return type(event) is Delta


def _late_reply(frame: str) -> Reply:
    event = engine.read(frame)
    return Reply(frame, event.text if isinstance(event, Reply | Delta) else frame, late=True)
