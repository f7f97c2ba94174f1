"""What was asked and answered on a plain socket, gathered for the history while the frames pass by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from miva import history
from miva.in_thread import in_thread
from miva.protocol import engine
from miva.protocol.events import Delta, Done, Failed, Reply, Source, Sources

logger = logging.getLogger("miva.answer_recorder")

QUIET_S = 3.0
"""Silence after which an answer counts as whole (the plain dialect has no word for its end)."""
MOST_CHARACTERS = 1_000_000
"""Characters of one answer's frames that are gathered; what is longer is relayed whole and stored in part."""


@dataclass
class _Exchange:
    """One question and what was said to it so far."""

    conversation_id: UUID
    message: str
    file_names: Sequence[str]
    frames: list[str] = field(default_factory=list)
    stored_frames: int = 0
    message_id: int | None = None
    """The stored answer, which grows when more is said after a quiet while."""


class AnswerRecorder:
    """Gathers one exchange at a time; stores it when the next question comes, after each quiet while, and at the end.

    Noting a frame costs next to nothing: frames are kept as they are and understood only when they are stored.
    """

    def __init__(self, owner_id: UUID) -> None:
        self._owner_id = owner_id
        self._exchange: _Exchange | None = None
        self._room = MOST_CHARACTERS
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._order = asyncio.Lock()
        self._storing: set[asyncio.Task[None]] = set()

    def asked(self, conversation_id: UUID, message: str, file_names: Sequence[str]) -> None:
        """A question goes to the engine; what was answered before belongs to the one before."""
        self._flush()
        self._exchange = _Exchange(conversation_id, message, file_names)
        self._room = MOST_CHARACTERS

    def heard(self, frame: str) -> None:
        """A frame of the engine."""
        if self._exchange is None or self._room < len(frame):
            return
        self._room -= len(frame)
        self._exchange.frames.append(frame)
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(QUIET_S, self._look)

    async def close(self) -> None:
        """Stores what is left."""
        self._flush()
        if self._storing:
            await asyncio.gather(*self._storing)

    def _look(self) -> None:
        """The timer is set once for many frames: it only looks whether the quiet has lasted."""
        loop = asyncio.get_running_loop()
        left = self._heard_at + QUIET_S - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._exchange is not None and len(self._exchange.frames) > self._exchange.stored_frames:
            task = asyncio.create_task(self._store(self._exchange))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _store(self, exchange: _Exchange) -> None:
        async with self._order:
            frames = exchange.frames[:]
            try:
                exchange.message_id = await in_thread(_store)(self._owner_id, exchange, frames)
                exchange.stored_frames = len(frames)
            except Exception:
                logger.exception("An exchange could not be stored")


def _store(owner_id: UUID, exchange: _Exchange, frames: Sequence[str]) -> int | None:
    text, sources = answer_of(frames)
    named = history.named_sources(owner_id, sources)
    if exchange.message_id is not None:
        history.replace_answer(exchange.message_id, text, named)
        return exchange.message_id
    if not text:
        return None
    return history.record_exchange(exchange.conversation_id, exchange.message, exchange.file_names, text, named)


def answer_of(frames: Sequence[str]) -> tuple[str, tuple[Source, ...]]:
    """The answer that an engine's frames make together, and where it stands."""
    pieces: list[str] = []
    replies: list[str] = []
    whole = ""
    sources: tuple[Source, ...] = ()
    for frame in frames:
        match engine.read(frame):
            case Delta(text):
                pieces.append(text)
            case Reply(text=text):
                replies.append(text)
                sources = engine.sources_in(frame) or sources
            case Sources(found):
                sources = found
            case Done(text, found):
                whole, sources = text, found or sources
            case Failed(error):
                replies.append(error.message)
    return "\n\n".join(part for part in (whole or "".join(pieces), *replies) if part), sources
