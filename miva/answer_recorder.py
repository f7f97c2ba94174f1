"""What was asked and answered on a plain socket, gathered for the history while the frames pass by."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, NamedTuple
from uuid import UUID

from miva import database_away, history
from miva.in_thread import in_thread
from miva.protocol import engine
from miva.protocol.events import BETWEEN_REPLIES, Done, Failed, Reply, Source, Sources

logger = logging.getLogger("miva.answer_recorder")

QUIET_S = 3.0
"""Silence after which an answer counts as whole (the plain dialect has no word for its end), and the longest that a
finished exchange waits for others to be stored with."""
MOST_CHARACTERS = 1_000_000
"""Characters of one answer's frames that are gathered; what is longer is relayed whole and stored in part."""
MOST_HELD, LEAST_STORED = 2_000_000, 40_000
"""Characters that all sockets of the process may hold together: beyond, whoever holds LEAST_STORED stores at once."""
MOST_DELAYED = 1_000_000
"""Characters on their way into the database, beyond which whoever has LEAST_STORED of his own unstored waits: an engine
may be faster than the database."""
PATIENCE_S = 2.0
"""The longest such wait. Then the database is late: nobody waits for it until it has stored something, and what comes
beyond MOST_DELAYED is relayed and not stored."""
PAUSES_S = (1.0, 3.0, 6.0, 10.0, 10.0)
"""Between attempts to store: together as long as the event log tries."""
_NICE = 5
"""A third of the event loop's share where both want the same core: storing goes on, and does not hold the loop up."""


def _give_way() -> None:
    """Lowers the calling thread's priority, for good, where a thread has one of its own (Linux; setpriority(2))."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            nice = max(_NICE, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


_own_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answer-recorder", initializer=_give_way)
"""One for all sockets: each thread that handles megabytes keeps some of them for itself."""


class _Last(Enum):
    """What an answer ends with so far: pieces are joined as they are, replies stand in paragraphs of their own."""

    NOTHING = 0
    PIECE = 1
    REPLY = 2


@dataclass(eq=False)
class Exchange:
    """One question and what was said to it so far."""

    conversation_id: UUID
    message: str
    file_names: Sequence[str]
    frames: list[str] = field(default_factory=list)
    """What is not stored yet."""
    size: int = 0
    room: int = MOST_CHARACTERS
    last: _Last = _Last.NOTHING
    message_id: int | None = None
    """The stored answer, which grows when more is said."""


class Taken(NamedTuple):
    """What is to be stored of an exchange now. Of one that `is_over` at least the question is."""

    exchange: Exchange
    frames: Sequence[str]
    size: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What frames of an engine say: text, where it stands, and whether it is all of the answer or its continuation."""

    text: str
    sources: tuple[Source, ...]
    is_whole: bool
    last: _Last


class AnswerRecorder:
    """Gathers the exchanges of a socket and stores them together, a while after the question that ended them.

    Noting a frame costs next to nothing: frames are kept as they are and understood only when they are stored. The next
    question never waits for that, nor does it compete with it for the processor.
    """

    _held = 0
    """Characters that the recorders of this process hold and that no thread is storing."""
    _delayed = 0
    """Characters on their way into the database."""
    _is_late = False
    """Whether somebody waited for the database in vain, and it has stored nothing since."""
    _waiting: ClassVar[set[asyncio.Future[None]]] = set()
    """Those who wait for room."""

    def __init__(self, owner_id: UUID) -> None:
        self._owner_id = owner_id
        self._exchanges: list[Exchange] = []
        """In the order they were asked. Those before the one that is answered now are over and wait to be stored."""
        self._answered: Exchange | None = None
        """The one that the engine answered last."""
        self._unstored = 0
        """Characters of this socket that are gathered or on their way into the database."""
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._order = asyncio.Lock()
        self._storing: set[asyncio.Task[None]] = set()

    def asked(self, conversation_id: UUID, message: str, file_names: Sequence[str]) -> Exchange:
        """A question goes to the engine; returns the exchange that it begins."""
        exchange = Exchange(conversation_id, message, file_names)
        self._exchanges.append(exchange)
        return exchange

    def failed(self, exchange: Exchange) -> None:
        """A question came to nothing, and its asker was told."""
        if exchange in self._exchanges and not (exchange is self._answered or exchange.frames):
            self._exchanges.remove(exchange)

    def heard(self, exchange: Exchange, frames: Sequence[str]) -> None:
        """Frames of the engine, in order, that answer this exchange's question or none before it."""
        if exchange is not self._answered:
            if exchange not in self._exchanges and self._answered is not None:
                exchange = self._answered  # it is stored: a connection's last words came after the next one's first
            self._answered = exchange
        if not (AnswerRecorder._is_late and AnswerRecorder._delayed > MOST_DELAYED):
            size = sum(map(len, frames))
            if size > exchange.room:
                frames, size = _fitting(frames, exchange.room)
            exchange.room -= size
            exchange.size += size
            self._unstored += size
            AnswerRecorder._held += size
            exchange.frames += frames
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(QUIET_S, self._look)
        if AnswerRecorder._held > MOST_HELD and exchange.size >= LEAST_STORED:
            self._flush()

    async def wait_for_room(self) -> None:
        """Lets a socket that has much to store wait while too much is on its way into the database; others never do."""
        is_calm = AnswerRecorder._delayed <= MOST_DELAYED or self._unstored < LEAST_STORED
        if is_calm or AnswerRecorder._is_late:
            return
        room = asyncio.get_running_loop().create_future()
        AnswerRecorder._waiting.add(room)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await room
        except TimeoutError:
            AnswerRecorder._is_late = True
        finally:
            AnswerRecorder._waiting.discard(room)

    async def close(self) -> None:
        """Stores what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._answered = None
        self._flush()
        if self._storing:
            await asyncio.gather(*self._storing)

    def _look(self) -> None:
        """The timer is set once for many frames: what is finished is stored; the last answer once it was quiet."""
        loop = asyncio.get_running_loop()
        left = self._heard_at + QUIET_S - loop.time()
        self._timer = loop.call_later(left, self._look) if left > 0 else None
        self._flush(but_the_last=left > 0)

    def _flush(self, *, but_the_last: bool = False) -> None:
        """Stores what was said. Exchanges before the one that was answered last are over; without it, all are."""
        last = self._answered
        over = self._exchanges if last is None else self._exchanges[: self._exchanges.index(last)]
        taken = [Taken(one, one.frames, one.size, True) for one in over if one.frames or one.message_id is None]
        if last is not None and last.frames and not but_the_last:
            taken.append(Taken(last, last.frames, last.size, False))
        self._exchanges = self._exchanges[len(over) :]
        for exchange, _, size, _ in taken:
            AnswerRecorder._held -= size
            AnswerRecorder._delayed += size
            exchange.frames, exchange.size = [], 0
        if taken:
            task = asyncio.create_task(self._store(taken))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _store(self, taken: Sequence[Taken]) -> None:
        async with self._order:
            try:
                await self._store_patiently(taken)
            finally:
                stored = sum(one.size for one in taken)
                self._unstored -= stored
                AnswerRecorder._delayed -= stored
                if AnswerRecorder._delayed <= MOST_DELAYED:
                    for room in AnswerRecorder._waiting:
                        if not room.done():
                            room.set_result(None)

    async def _store_patiently(self, taken: Sequence[Taken]) -> None:
        """A database that is away for a moment costs no history."""
        for pause_s in (*PAUSES_S, None):
            try:
                await in_thread(_store, _own_thread)(self._owner_id, taken)
                AnswerRecorder._is_late = False
                return
            except Exception as why:
                if pause_s is None:
                    is_away = isinstance(why, database_away.UNREACHABLE)
                    logger.error("An exchange could not be stored (%s)", why, exc_info=None if is_away else why)
                else:
                    await asyncio.sleep(pause_s)


def _fitting(frames: Sequence[str], room: int) -> tuple[list[str], int]:
    """Those that fit into so many characters together, and how many they have."""
    fitting, size = [], 0
    for frame in frames:
        if size + len(frame) <= room:
            fitting.append(frame)
            size += len(frame)
    return fitting, size


def _store(owner_id: UUID, taken: Sequence[Taken]) -> None:
    new: list[tuple[Exchange, history.Recorded]] = []
    for exchange, frames, _, is_over in taken:
        said = what_is_said(frames, exchange.last)
        exchange.last = said.last
        sources = history.named_sources(owner_id, said.sources) if said.sources else []
        if exchange.message_id is not None:
            history.extend_answer(exchange.message_id, said.text, sources, replaces=said.is_whole)
        elif said.text or is_over:
            answer = said.text or None
            stored = history.Recorded(exchange.conversation_id, exchange.message, exchange.file_names, answer, sources)
            new.append((exchange, stored))
    for (exchange, _), message_id in zip(new, history.record_exchanges([stored for _, stored in new]), strict=True):
        exchange.message_id = message_id


def what_is_said(frames: Sequence[str], last: _Last = _Last.NOTHING) -> Said:
    """What an engine's frames say together, behind an answer that ends with `last` so far."""
    texts: list[str] = []
    sources: tuple[Source, ...] = ()
    is_whole = False
    for frame in frames:
        if (piece := engine.piece(frame)) is not None:  # nearly all
            texts += (BETWEEN_REPLIES, piece) if last is _Last.REPLY else (piece,)
            last = _Last.PIECE
            continue
        match engine.read(frame):
            case Reply(text=text):
                texts += (text,) if last is _Last.NOTHING else (BETWEEN_REPLIES, text)
                last = _Last.REPLY
                sources = engine.sources_in(frame) or sources
            case Failed(error):
                texts += (error.message,) if last is _Last.NOTHING else (BETWEEN_REPLIES, error.message)
                last = _Last.REPLY
            case Sources(found):
                sources = found
            case Done(text, found):
                sources = found or sources
                if text:
                    texts, is_whole, last = [text], True, _Last.REPLY
    return Said("".join(texts), sources, is_whole, last)
