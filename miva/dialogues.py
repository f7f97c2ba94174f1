"""What a socket does with the frames of each dialect: decode, carry out, encode. The consumer only carries."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

from django.conf import settings

from miva import conversation, history
from miva.answer_recorder import AnswerRecorder, Exchange
from miva.documents import reader
from miva.engine_documents import LONGEST_ENVELOPE
from miva.following import Following
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.limits import limits
from miva.plain_chat import PlainChat
from miva.protocol import plain, query
from miva.protocol.envelope import WrappedFile, wrap
from miva.protocol.errors import BadFrame, FileTooLarge, MivaError, naming_the_file
from miva.protocol.events import Event, Place
from miva.protocol.requests import Ask, InlineFile, Request


class Send(Protocol):
    """Sends frames to the socket, in order; returns when it takes more."""

    async def __call__(self, *frames: str) -> None: ...


class Dialogue(Protocol):
    """One socket's talk in one dialect."""

    async def greet(self) -> None:
        """Sends what comes before all else."""

    def decode(self, data: dict[str, Any], raw: str) -> Request:
        """The request in a frame; raises MivaError."""

    def decode_bytes(self, data: bytes) -> Request:
        """The request in a binary frame; raises MivaError."""

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

    def decode_bytes(self, data: bytes) -> Request:
        del data
        raise BadFrame()

    async def carry_out(self, request: Request) -> None:
        assert isinstance(request, Ask)
        async with self._order:
            await limits.take_question(self._caller)
            label = self._own_label if request.unique_id is None else str(request.unique_id)
            if label not in self._claimed:
                self._claimed[label] = await in_thread(history.claim_plain_id)(self._speaker.owner_id, label)
            frame = request.raw
            if frame is None:
                files = [await _read_inline(file, self._caller, len(request.files)) for file in request.files]
                frame = await asyncio.to_thread(_envelope_frame, request, files)
            names = [file.name for file in request.files]
            exchange = self._recorder.asked(self._claimed[label], request.message, names)
            try:
                await self._chat.forward(frame, exchange)
            except Exception:
                self._recorder.failed(exchange)
                raise

    def error(self, error: MivaError, request: Request | None) -> str:
        del request  # an error frame of this dialect has no place for what it answers
        return plain.encode_error(error)

    async def close(self) -> None:
        await self._chat.close()
        await self._recorder.close()

    async def _heard(self, exchange: Exchange | None, frames: Sequence[str]) -> None:
        if exchange is not None:
            self._recorder.heard(exchange, frames)
        await self._send(*frames)
        await self._recorder.wait_for_room()

    async def _fail(self, exchange: Exchange | None, error: MivaError) -> None:
        if exchange is not None:
            self._recorder.failed(exchange)
        await self._send(plain.encode_error(error))


class TurnDialogue(ABC):
    """What query and miva.v1 have in common: turns of `conversation`, told from the log."""

    def __init__(self, speaker: Speaker, caller: str, send: Send) -> None:
        self._speaker = speaker
        self._caller = caller
        self._send = send
        self._order = asyncio.Lock()
        self._following = Following(self._tell)

    async def close(self) -> None:
        """Tells no more; a running answer goes on."""
        await self._following.close()

    async def _ask(self, request: Ask, **options: bool) -> None:
        async with self._order:  # accepted in the order they came
            # Shielded: a socket that closes in the middle must not stop a question halfway.
            followed = self._following.of_label(request.conversation)
            asking = conversation.ask(self._speaker, request, self._caller, followed=followed, **options)
            asked = await asyncio.shield(asking)
            if asked.conversation_id in self._following:
                self._following.used(asked.conversation_id)
                if asked.is_new:  # the log tells it
                    return
            await self._tell(asked.accepted, Place(asked.label, str(asked.turn_id), asked.seq))
            if asked.conversation_id not in self._following:
                self._following.follow(asked.conversation_id, asked.label, asked.seq)

    @abstractmethod
    async def _tell(self, event: Event, place: Place | None) -> None:
        """Sends an event in the words of the dialect."""


class QueryDialogue(TurnDialogue):
    """Contract section 3.2: questions about all documents of a token's owner; each socket is a conversation."""

    def __init__(self, speaker: Speaker, caller: str, send: Send, *, welcomes: bool) -> None:
        super().__init__(speaker, caller, send)
        self._welcomes = welcomes
        self._label = str(uuid4())
        self._teller = query.Teller()

    async def greet(self) -> None:
        if self._welcomes:
            await self._send(query.welcome(self._speaker.name))

    def decode(self, data: dict[str, Any], raw: str) -> Ask:
        del raw
        asked = query.decode(data, settings.MIVA_MAX_MESSAGE)
        return Ask(asked.message, id=str(uuid4()), conversation=self._label)

    def decode_bytes(self, data: bytes) -> Request:
        del data
        raise BadFrame()

    async def carry_out(self, request: Request) -> None:
        assert isinstance(request, Ask)
        await self._ask(request, all_documents=True)

    def error(self, error: MivaError, request: Request | None) -> str:
        del request
        return query.encode_error(error)

    async def _tell(self, event: Event, place: Place | None) -> None:
        del place  # this dialect does not number its frames
        await self._send(*self._teller.frames(event))


async def _read_inline(file: InlineFile, owner: str, files: int) -> WrappedFile:
    """The text of one of the files that came inside a plain frame; the file itself is not kept."""
    with naming_the_file(file.name, files):
        reading = await reader.read_base64(
            file.content, name=file.name, declared=file.media_type, password=file.password, owner=owner
        )
    if reading.media_type == "application/pdf":
        return WrappedFile(file.name, pages=reading.pages)
    return WrappedFile(file.name, text="".join(reading.pages))


def _envelope_frame(request: Ask, files: list[WrappedFile]) -> str:
    if sum(len(part) for file in files for part in file.pages or (file.text or "",)) > LONGEST_ENVELOPE:
        raise FileTooLarge("The files of this question have too much text together. Ask about fewer of them.")
    return plain.engine_question(wrap(request.message, files), request.unique_id)
