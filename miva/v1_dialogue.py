"""What a miva.v1 socket does with its frames (contract section 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from django.conf import settings

from miva import conversation, sessions
from miva.dialogues import Send, TurnDialogue
from miva.engine_client import engine_info
from miva.hub import News, hub, owner_topic
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.patiently import patiently
from miva.piece_taker import PieceTaker
from miva.protocol import v1
from miva.protocol.errors import MivaError
from miva.protocol.events import DocumentChanged, Event, Failed, Hello, Place, Pong, Progress
from miva.protocol.requests import Ask, Cancel, Piece, Ping, Request, Resume, Upload

HELLO_PATIENCE_S = 1.0
"""How long a greeting waits to learn the engine's name."""
MOST_NEWS = 1000
"""Frames about documents that wait for a slow reader; more of them are left out."""


class V1Dialogue(TurnDialogue):
    """One socket's reading of its conversations' logs, its questions and its upload."""

    def __init__(self, speaker: Speaker, caller: str, send: Send) -> None:
        super().__init__(speaker, caller, send)
        self._deaf: Callable[[], None] = hub.subscribe(owner_topic(speaker.owner_id), self._hear)
        self._news: list[Event] = []
        self._telling: asyncio.Task[None] | None = None
        self._pieces: PieceTaker | None = None

    async def greet(self) -> None:
        try:
            async with asyncio.timeout(HELLO_PATIENCE_S):
                info = await engine_info()
            engine = {"name": info.name, "models": info.models, "streaming": True}
        except TimeoutError:
            engine = {"name": "engine", "models": [], "streaming": True}
        most, seconds = settings.MIVA_RATE
        bounds = {
            "max_frame": settings.MIVA_MAX_FRAME,
            "max_file": settings.MIVA_MAX_FILE_BYTES,
            "max_pages": settings.MIVA_MAX_PAGES,
            "max_message": settings.MIVA_MAX_MESSAGE,
            "rate": f"{most}/{seconds}s",
        }
        user = {"name": self._speaker.name, "guest": self._speaker.is_guest}
        await self._tell(Hello(user, bounds, engine, f"miva/{settings.VERSION}"), None)

    def decode(self, data: dict[str, Any], raw: str) -> Request:
        del raw
        return v1.decode(data, settings.MIVA_MAX_MESSAGE)

    def decode_bytes(self, data: bytes) -> Request:
        return Piece(data)

    async def carry_out(self, request: Request) -> None:
        match request:
            case Ask():
                await self._ask(request)
            case Resume():
                await self._resume(request)
            case Upload():
                await self._in_order(self._taker().begin(request))
            case Piece(data):
                await self._in_order(self._taker().take(data))
            case Cancel(turn):
                await conversation.cancel(self._speaker, turn)
            case Ping():
                await self._tell(Pong(), None)

    def error(self, error: MivaError, request: Request | None) -> str:
        id = self._taker().id if isinstance(request, Piece) else getattr(request, "id", error.refused_id)
        frame = v1.encode(Failed(error, id))
        assert frame is not None
        return frame

    async def close(self) -> None:
        self._deaf()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await super().close()
        if self._pieces is not None:
            await self._pieces.close()

    def _taker(self) -> PieceTaker:
        """Made when it is needed: most sockets never send a file."""
        if self._pieces is None:
            self._pieces = PieceTaker(self._speaker.owner_id, self._tell_soon)
        return self._pieces

    async def _in_order(self, work: Coroutine[Any, Any, None]) -> None:
        """Has an upload's progress told before the error that ends it: a client goes on from what it was told last."""
        try:
            await work
        except MivaError:
            if self._telling is not None:
                await asyncio.wait([self._telling])
            raise

    async def _resume(self, request: Resume) -> None:
        async with self._order:  # behind a question that was sent before it, whose `accepted` it then tells
            owner_id, label = self._speaker.owner_id, request.conversation
            found = await patiently(lambda: in_thread(sessions.labelled)(owner_id, label))
            self._following.follow(found.pk, found.label, request.after)

    async def _tell(self, event: Event, place: Place | None) -> None:
        frame = v1.encode(event, place)
        if frame is not None:
            await self._send(frame)

    def _hear(self, news: News) -> None:
        """What happens to the owner's documents, whoever sends them."""
        match news:
            case {"kind": "document", "id": id, "document": document}:
                self._tell_soon(DocumentChanged(id, document))
            case {"kind": "progress", "stage": stage, "done": done, "total": total, "id": id, "document": document}:
                self._tell_soon(Progress(stage, done, total, id, document))

    def _tell_soon(self, event: Event) -> None:
        """Tells what has no number, in the order in which it came."""
        last = self._news[-1] if self._news else None
        if isinstance(event, Progress) and isinstance(last, Progress) and _is_same_work(event, last):
            self._news[-1] = event
        elif len(self._news) < MOST_NEWS:
            self._news.append(event)
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_news())

    async def _tell_news(self) -> None:
        try:
            while self._news:
                await self._tell(self._news.pop(0), None)
        finally:
            self._telling = None


def _is_same_work(one: Progress, other: Progress) -> bool:
    return (one.stage, one.id, one.document) == (other.stage, other.id, other.document)
