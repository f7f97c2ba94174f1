"""A turn of a query or miva.v1 client while it runs: queued, files read, engine asked, every event numbered and told.

It runs in a task of its own that outlives its socket, so that a closed tab does not lose an answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from miva import history, library
from miva.documents import reader
from miva.engine_turn import THINKING_S, EngineQuestion, EngineTurn, TextDocument
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.models import Document, Turn
from miva.protocol.errors import Internal, MivaError
from miva.protocol.events import Cancelled, Done, Event, Failed, Place, Progress, Reply
from miva.rendering import to_html

logger = logging.getLogger("miva.running_turn")

Tell = Callable[[Event, Place | None], Awaitable[None]]
"""Gives a client an event, with its place where it belongs to a turn; does nothing once the client is gone."""


@dataclass
class Thread:
    """What this process knows of a conversation while turns of it are under way."""

    head: int = 0
    users: int = 0
    """Questions being taken and turns that still number events here, late ones included."""
    turns: list[RunningTurn] = field(default_factory=list)
    running: asyncio.Lock = field(default_factory=asyncio.Lock)
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def next_seq(self, stored_head: int = 0) -> int:
        """The next event's number; asked for from the loop and, for `accepted`, from within a transaction."""
        with self.counting:
            self.head = max(self.head, stored_head) + 1
            return self.head

    def release(self, conversation_id: UUID) -> None:
        """Ends one use; with the last the thread is forgotten."""
        self.users -= 1
        if not self.users:
            del _threads[conversation_id]


def hold_thread(conversation_id: UUID) -> Thread:
    """The thread of a conversation, with one use more; there is only one as long as anybody holds it."""
    thread = _threads.setdefault(conversation_id, Thread())
    thread.users += 1
    return thread


_threads: dict[UUID, Thread] = {}
turns_here: dict[UUID, RunningTurn] = {}
_tasks: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class InlineDocument:
    """A file of the question that is here and not read yet."""

    document: Document
    received: reader.Received
    password: str | None


class RunningTurn:
    """A stored turn in this process, from its place in the queue to its end."""

    def __init__(self, turn: Turn, speaker: Speaker, thread: Thread, tell: Tell, *, is_numbered: bool) -> None:
        """`is_numbered`: the client sees numbers and can choose options (miva.v1); a query client sees neither."""
        self.turn = turn
        self._is_numbered = is_numbered
        self._speaker = speaker
        self._thread = thread
        self._tell = tell
        self._engine: EngineTurn | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_begun = False
        self._is_cancelled = False
        self._end: type[Event] | None = None
        self._message_id: int | None = None

    def start(self, documents: Sequence[Document], files: Sequence[InlineDocument]) -> None:
        """Begins, behind the turns of this conversation that are there already; takes over the hold on the thread."""
        turns_here[self.turn.pk] = self
        self._thread.turns.append(self)
        self._task = asyncio.create_task(self._run(documents, files), name="turn")
        _tasks.add(self._task)
        self._task.add_done_callback(_tasks.discard)

    def cancel(self) -> None:
        """Stops the answer; the turn ends as Cancelled, unless it is ending by itself at this moment."""
        if self._is_cancelled or self._end is not None or self._task is None:
            return
        self._is_cancelled = True
        if self._has_begun:  # a task that is cancelled before its first step would end without a word
            self._task.cancel()

    async def _run(self, documents: Sequence[Document], files: Sequence[InlineDocument]) -> None:
        try:
            events = await self._run_to_its_end(documents, files)
            if events is not None and self._end is Done:
                async for late in events:
                    await self._emit(late)
        finally:
            self._thread.release(self.turn.conversation_id)

    async def _run_to_its_end(
        self, documents: Sequence[Document], files: Sequence[InlineDocument]
    ) -> AsyncGenerator[Event, None] | None:
        """Reads, asks and tells until the turn's one end; returns the engine's events, for what may come late."""
        events: AsyncGenerator[Event, None] | None = None
        try:
            self._has_begun = True
            if self._is_cancelled:
                raise asyncio.CancelledError
            async with self._thread.running:
                await in_thread(history.set_state)(self.turn.pk, Turn.State.RUNNING)
                ready = await self._read(documents, files)
                self._engine = EngineTurn(await self._question(ready))
                events = self._engine.events()
                async for event in events:
                    await self._emit(event)
                    if isinstance(event, Done | Failed):
                        break
        except asyncio.CancelledError:
            if not self._is_cancelled:
                raise
            if self._engine is not None:
                await self._engine.cancel()
            await self._emit(Cancelled())
        except MivaError as why:
            await self._emit(Failed(why))
        except Exception:
            logger.exception("A turn failed")
            await self._emit(Failed(Internal()))
        finally:
            for file in files:
                file.received.discard()
            turns_here.pop(self.turn.pk, None)
            self._thread.turns.remove(self)
            if events is not None and self._end is not Done:
                await events.aclose()
        return events

    async def _read(self, documents: Sequence[Document], files: Sequence[InlineDocument]) -> list[Document]:
        """All documents of the question once their text is there, the files' pages told as they are read."""
        read = []
        for file in files:
            progress = _ProgressTeller(self._emit, str(file.document.pk))
            document = await library.finish(
                file.document,
                file.received,
                self.turn.client_id,
                password=file.password,
                on_progress=library.sparse(progress.from_any_thread),
                index=False,
            )
            await progress.told()
            read.append(document)
        return [*await library.wait_until_read(documents), *read]

    async def _question(self, documents: Sequence[Document]) -> EngineQuestion:
        return EngineQuestion(
            self.turn.message,
            list(dict.fromkeys(document.content_id for document in documents)),
            self._load,
            str(self._speaker.owner_id),
            sum(document.characters or 0 for document in documents),
            await in_thread(history.recent)(self.turn.conversation_id),
            options={} if self._is_numbered else None,
            thinking_after_s=THINKING_S if self._is_numbered else 0.0,
        )

    async def _load(self, content_ids: Sequence[str]) -> list[TextDocument]:
        return await library.load_texts(await self._owner_now(), content_ids)

    async def _owner_now(self) -> UUID:
        """Whoever the turn belongs to by now: its guest may have signed in meanwhile."""
        return await in_thread(history.owner_of_turn)(self.turn.pk) or self._speaker.owner_id

    async def _emit(self, event: Event) -> None:
        """Numbers an event, stores it where it is an end, and tells it; a cancel in the middle leaves no number out."""
        if isinstance(event, Done | Failed | Cancelled):
            if self._end is not None:
                return
            self._end = type(event)
        await asyncio.shield(asyncio.create_task(self._emit_whole(event)))

    async def _emit_whole(self, event: Event) -> None:
        async with self._thread.telling:
            seq = self._thread.head + 1
            try:
                event = await self._store(event, seq)
            except Exception:
                logger.exception("An event could not be stored")
                if isinstance(event, Done):  # a turn ends, with or without the database
                    event = Failed(Internal())
            self._thread.head = seq
            await self._tell(event, Place(self.turn.conversation.label, str(self.turn.pk), seq))

    async def _store(self, event: Event, seq: int) -> Event:
        match event:
            case Done():
                return await self._stored(event, seq)
            case Failed() | Cancelled():
                state = Turn.State.FAILED if isinstance(event, Failed) else Turn.State.CANCELLED
                await in_thread(history.close_turn)(self.turn, state, seq)
            case Reply(text=text, late=True) if self._message_id is not None:
                await in_thread(history.add_late_reply)(self._message_id, text, self.turn.conversation_id, seq)
        return event

    async def _stored(self, done: Done, seq: int) -> Done:
        sources = await in_thread(history.named_sources)(await self._owner_now(), done.sources)
        text = history.storable(done.text)
        html = await asyncio.to_thread(to_html, text)
        self._message_id = await in_thread(history.close_turn)(self.turn, Turn.State.DONE, seq, text, sources)
        return replace(done, text=text, sources=tuple(sources), message_id=self._message_id, html=html)


class _ProgressTeller:
    """Brings progress from the reading threads onto the loop, and knows when all of it was told."""

    def __init__(self, emit: Callable[[Event], Awaitable[None]], document: str) -> None:
        self._emit = emit
        self._document = document
        self._loop = asyncio.get_running_loop()
        self._pending: list[asyncio.Future[None]] = []

    def from_any_thread(self, stage: str, done: int, total: int) -> None:
        event = Progress(stage, done, total, document=self._document)
        self._loop.call_soon_threadsafe(lambda: self._pending.append(asyncio.ensure_future(self._emit(event))))

    async def told(self) -> None:
        await asyncio.sleep(0)  # lets what was called from threads arrive first
        await asyncio.gather(*self._pending)
