"""What a socket does with the frames of each dialect: decode, carry out, encode. The consumer only carries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

from django.conf import settings

from miva import conversation, history
from miva.answer_recorder import AnswerRecorder
from miva.documents import reader
from miva.engine_client import engine_info
from miva.engine_turn import LONGEST_ENVELOPE
from miva.hub import News, hub, owner_topic
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.limits import limits
from miva.plain_chat import PlainChat
from miva.protocol import plain, query, v1
from miva.protocol.envelope import WrappedFile, wrap
from miva.protocol.errors import FileTooLarge, MivaError
from miva.protocol.events import DocumentChanged, Event, Failed, Hello, Place, Pong, Progress
from miva.protocol.requests import Ask, Cancel, InlineFile, Ping, Request
from miva.running_turn import Tell

Send = Callable[[str], Awaitable[None]]
HELLO_PATIENCE_S = 1.0
"""How long a greeting waits to learn the engine's name."""


class Dialogue(Protocol):
    """One socket's talk in one dialect."""

    async def greet(self) -> None:
        """Sends what comes before all else."""

    def decode(self, data: dict[str, Any], raw: str) -> Request:
        """The request in a frame; raises MivaError."""

    async def carry_out(self, request: Request) -> None:
        """Does what was asked; raises MivaError."""

    def error(self, error: MivaError, request: Request | None) -> str:
        """The frame that tells an error."""

    async def close(self) -> None:
        """The socket is gone."""


class PlainDialogue:
    """Contract section 3.1: questions in order to one engine connection, its frames back as they come."""

    def __init__(self, speaker: Speaker, caller: str, send: Send) -> None:
        self._speaker = speaker
        self._caller = caller
        self._send = send
        self._chat = PlainChat(self._heard, self._fail)
        self._recorder = AnswerRecorder(speaker.owner_id)
        self._claimed: dict[str, Any] = {}
        self._own_label = str(uuid4())
        self._order = asyncio.Lock()

    async def greet(self) -> None:
        """This dialect begins in silence."""

    def decode(self, data: dict[str, Any], raw: str) -> Ask:
        return plain.decode(data, raw, settings.MIVA_MAX_MESSAGE)

    async def carry_out(self, request: Request) -> None:
        assert isinstance(request, Ask)
        async with self._order:
            await limits.take_question(self._caller)
            label = self._own_label if request.unique_id is None else str(request.unique_id)
            if label not in self._claimed:
                self._claimed[label] = await in_thread(history.claim_plain_id)(self._speaker.owner_id, label)
            frame = request.raw
            if frame is None:
                files = [await _read_inline(file, self._caller) for file in request.files]
                frame = await asyncio.to_thread(_envelope_frame, request, files)
            self._recorder.asked(self._claimed[label], request.message, [file.name for file in request.files])
            await self._chat.forward(frame)

    def error(self, error: MivaError, request: Request | None) -> str:
        del request  # an error frame of this dialect has no place for what it answers
        return plain.encode_error(error)

    async def close(self) -> None:
        await self._chat.close()
        await self._recorder.close()

    async def _heard(self, frames: Sequence[str]) -> None:
        self._recorder.heard(frames)
        for frame in frames:
            await self._send(frame)

    async def _fail(self, error: MivaError) -> None:
        await self._send(plain.encode_error(error))


class _TurnDialogue:
    """What query and miva.v1 have in common: turns of `conversation`."""

    def __init__(self, speaker: Speaker, caller: str, send: Send) -> None:
        self._speaker = speaker
        self._caller = caller
        self._send = send
        self._order = asyncio.Lock()

    async def _ask(self, request: Ask, tell: Tell, **options: bool) -> None:
        async with self._order:  # accepted in the order they came
            await limits.take_question(self._caller)
            # Shielded: a socket that closes in the middle must not leave a stored question without its turn.
            await asyncio.shield(conversation.ask(self._speaker, request, tell, **options))


class QueryDialogue(_TurnDialogue):
    """Contract section 3.2: questions about all documents of a token's owner; each socket is a conversation."""

    def __init__(self, speaker: Speaker, caller: str, send: Send, *, welcomes: bool) -> None:
        super().__init__(speaker, caller, send)
        self._welcomes = welcomes
        self._label = str(uuid4())

    async def greet(self) -> None:
        if self._welcomes:
            await self._send(query.welcome(self._speaker.name))

    def decode(self, data: dict[str, Any], raw: str) -> Ask:
        del raw
        asked = query.decode(data, settings.MIVA_MAX_MESSAGE)
        return Ask(asked.message, id=str(uuid4()), conversation=self._label)

    async def carry_out(self, request: Request) -> None:
        assert isinstance(request, Ask)
        await self._ask(request, self._tell, all_documents=True)

    def error(self, error: MivaError, request: Request | None) -> str:
        del request
        return query.encode_error(error)

    async def close(self) -> None:
        """A running answer goes on, for the history."""

    async def _tell(self, event: Event, place: Place | None) -> None:
        del place  # this dialect does not number its frames
        for frame in query.encode(event):
            await self._send(frame)


class V1Dialogue(_TurnDialogue):
    """Contract section 3.3, as far as one socket goes."""

    def __init__(self, speaker: Speaker, caller: str, send: Send) -> None:
        super().__init__(speaker, caller, send)
        self._deaf: Callable[[], None] = hub.subscribe(owner_topic(speaker.owner_id), self._hear)
        self._telling: set[asyncio.Task[None]] = set()

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

    async def carry_out(self, request: Request) -> None:
        match request:
            case Ask():
                await self._ask(request, self._tell)
            case Cancel(turn):
                await conversation.cancel(self._speaker, turn)
            case Ping():
                await self._tell(Pong(), None)

    def error(self, error: MivaError, request: Request | None) -> str:
        frame = v1.encode(Failed(error, request.id if isinstance(request, Ask) else None))
        assert frame is not None
        return frame

    async def close(self) -> None:
        self._deaf()

    async def _tell(self, event: Event, place: Place | None) -> None:
        frame = v1.encode(event, place)
        if frame is not None:
            await self._send(frame)

    def _hear(self, news: News) -> None:
        """What happens to the owner's documents elsewhere, an upload over HTTP for one."""
        event: Event
        match news:
            case {"kind": "document", "id": id, "document": document}:
                event = DocumentChanged(id, document)
            case {"kind": "progress", "stage": stage, "done": done, "total": total, "id": id, "document": document}:
                event = Progress(stage, done, total, id, document)
            case _:
                return
        task = asyncio.create_task(self._tell(event, None))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


async def _read_inline(file: InlineFile, owner: str) -> WrappedFile:
    """The text of a file that came inside a plain frame; the file itself is not kept."""
    received = await reader.receive_base64(file.content, name=file.name, declared=file.media_type)
    try:
        reading = await reader.read(received, password=file.password, owner=owner)
    finally:
        received.discard()
    if reading.media_type == "application/pdf":
        return WrappedFile(file.name, pages=reading.pages)
    return WrappedFile(file.name, text="".join(reading.pages))


def _envelope_frame(request: Ask, files: list[WrappedFile]) -> str:
    if sum(len(part) for file in files for part in file.pages or (file.text or "",)) > LONGEST_ENVELOPE:
        raise FileTooLarge("The files of this question have too much text together. Ask about fewer of them.")
    return plain.engine_question(wrap(request.message, files), request.unique_id)


def dialogue_for(
    subprotocol: str | None, speaker: Speaker, caller: str, send: Send, *, welcomes: bool
) -> Callable[[dict[str, Any] | None], Dialogue]:
    """Chooses the dialogue of each frame: fixed by the subprotocol, else by whether the frame has a `query`.

    Called with None for what is no object (a greeting, broken JSON).
    """
    if subprotocol == v1.SUBPROTOCOL:
        only: Dialogue = V1Dialogue(speaker, caller, send)
        return lambda _: only
    plain_dialogue = PlainDialogue(speaker, caller, send)
    if subprotocol == plain.SUBPROTOCOL:
        return lambda _: plain_dialogue
    query_dialogue = QueryDialogue(speaker, caller, send, welcomes=welcomes)
    return partial(_by_frame, plain_dialogue, query_dialogue, welcomes)


def _by_frame(
    plain_dialogue: PlainDialogue, query_dialogue: QueryDialogue, welcomed: bool, data: dict[str, Any] | None
) -> Dialogue:
    if data is None:
        return query_dialogue if welcomed else plain_dialogue
    if "query" in data and not ("message" in data or "file" in data or "files" in data):
        return query_dialogue
    return plain_dialogue if {"message", "file", "files"} & data.keys() or not welcomed else query_dialogue
