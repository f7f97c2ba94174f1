"""One connection's side of the engine's WebSocket: frames in, work started, frames out."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext, suppress
from typing import Any, ParamSpec

from websockets.exceptions import ConnectionClosed

from miva.engine import frames
from miva.engine.answer import Answer
from miva.engine.asked import Asked
from miva.engine.attachments import Conversation
from miva.engine.connection import Connection
from miva.engine.frames import FrameError
from miva.engine.intake import Intake
from miva.engine.service import FEW_CHUNKS, Service
from miva.engine.stores.base import StoreError

P = ParamSpec("P")

_MAX_CONVERSATIONS = 256
_MAX_INTAKES = 32
_MAX_QUESTIONS = 128
_PROGRESS_S = 0.5
# Words with the white space behind them; a script without spaces is cut all the same.
_PIECE = re.compile(r"\S{1,24}\s*|\s+")

logger = logging.getLogger("miva.engine")


class Session:
    """Reads one connection's frames until it closes; what it started ends with it."""

    def __init__(self, connection: Connection, service: Service) -> None:
        self._connection = connection
        self._service = service
        self._keeps_documents = connection.subprotocol == frames.SUBPROTOCOL
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions: dict[str, set[asyncio.Task[None]]] = {}
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._intakes: dict[str, tuple[Intake, asyncio.Task[None]]] = {}
        # Begun, and their pages passed over: held already, with so many chunks, or refused by the stores, with None.
        self._held: dict[str, int | None] = {}
        self._voice = asyncio.Lock()  # two answers on one connection are never mixed

    async def run(self) -> None:
        """Serve the connection."""
        try:
            if self._keeps_documents:
                await self._send(
                    type="hello",
                    name="miva",
                    models=self._service.speaker.models(),
                    embedding_dim=self._service.dimension,
                )
            async for raw in self._connection:
                await self._guarded(self._receive, raw)
        except ConnectionClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()

    async def _receive(self, raw: str | bytes) -> None:
        frame = frames.parse(raw, keeps_documents=self._keeps_documents)
        match frame:
            case frames.Question():
                self._ask(frame)
            case frames.Cancel():
                for task in self._questions.get(frame.key, ()):
                    task.cancel()
            case frames.DocumentBegin():
                await self._begin(frame)
            case frames.Page():
                self._page(frame)
            case frames.DocumentEnd():
                await self._end(frame)
            case frames.Forget():
                self._drop(frame.id)
                await self._service.forget(frame.id)

    def _ask(self, question: frames.Question) -> None:
        if sum(map(len, self._questions.values())) >= _MAX_QUESTIONS:
            raise FrameError("Too many questions of this connection are waiting for an answer; ask again later.")
        task = self._start(self._answer, question, self._conversation(question.key))
        running = self._questions.setdefault(question.key, set())
        running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            if not running:
                self._questions.pop(question.key, None)

        task.add_done_callback(ended)

    def _conversation(self, key: str) -> Conversation:
        conversation = self._conversations.setdefault(key, Conversation())
        self._conversations.move_to_end(key)
        if len(self._conversations) > _MAX_CONVERSATIONS:
            self._conversations.popitem(last=False)
        return conversation

    async def _answer(self, question: frames.Question, conversation: Conversation) -> None:
        async with conversation.turn:
            with self._service.answering(question):
                await self._say(question, *await self._found(question, conversation))

    async def _found(
        self, question: frames.Question, conversation: Conversation
    ) -> tuple[Answer, AsyncGenerator[str, None]]:
        """An answer, and what is to be said of it. Documents are open only in here, while no model is waited for."""
        opening: AbstractAsyncContextManager[list[Asked]]
        if question.documents:
            self._service.expect(question.message)
            await self._service.here(question, self._need)
            await self._thinking(question)
            message, opening = question.message, self._service.opened(question)
        else:
            await self._thinking(question)
            message, attached = await self._service.attached(question, conversation)
            opening = nullcontext(attached)
        asked_before = [text for role, text in question.history if role == "user"]
        previous = asked_before[-1] if asked_before else conversation.previous
        alone, previous = await self._service.standing_alone(message, previous, question)
        async with opening as documents:
            for asked, done, total in await self._service.unfinished(documents):
                if question.stream:
                    await self._send(type="progress", stage="index", done=done, total=total, id=asked.id)
            answer = await self._service.answer(alone, documents, previous)
            conversation.previous = message
            return answer, await self._service.told(message, answer, documents, question)

    async def _thinking(self, question: frames.Question) -> None:
        if question.stream:
            await self._send(type="thinking")

    async def _need(self, documents: list[str]) -> None:
        await self._send(type="need", documents=documents)

    async def _say(self, question: frames.Question, answer: Answer, told: AsyncGenerator[str, None]) -> None:
        text = ""
        async with self._voice, aclosing(told):
            async for words in told:
                text += words
                if question.stream:
                    pieces = [_encoded(type="stream", content=piece) for piece in _PIECE.findall(words)]
                    await self._connection.send_together(pieces)
            if question.stream:
                await self._send(type="done", response=text, sources=answer.sources)
            else:
                await self._send(type="chat", message=text, unique_id=question.unique_id, sources=answer.sources)

    async def _begin(self, frame: frames.DocumentBegin) -> None:
        self._drop(frame.id)  # begun anew
        if len(self._intakes) + len(self._held) >= _MAX_INTAKES:
            raise FrameError("Too many documents are being sent at once; end some of them first.")
        self._held[frame.id] = None
        self._held[frame.id] = chunks = await self._service.announce(frame.id, frame.owner, frame.name)
        if chunks is not None:
            return
        del self._held[frame.id]
        intake = self._service.new_intake(frame.pages)
        task = self._start(self._take_in, frame.id, intake)
        self._intakes[frame.id] = (intake, task)
        self._service.register(frame.id, intake, task)

    def _drop(self, document: str) -> None:
        self._held.pop(document, None)
        if document in self._intakes:
            self._intakes.pop(document)[1].cancel()

    def _page(self, frame: frames.Page) -> None:
        if frame.id in self._intakes:
            self._intakes[frame.id][0].add(frame.page, frame.text)
        elif frame.id not in self._held:
            raise FrameError("A page came for a document that was not begun; send 'document' first.")

    async def _end(self, frame: frames.DocumentEnd) -> None:
        if frame.id in self._intakes:
            self._intakes[frame.id][0].end(frame.outline)
        elif frame.id in self._held:
            chunks = self._held.pop(frame.id)
            if chunks is not None:  # else the trouble was told when it was begun
                await self._indexed(frame.id, chunks, 1)
        else:
            raise FrameError("The end came of a document that was not begun; send 'document' first.")

    async def _take_in(self, document: str, intake: Intake) -> None:
        told = time.monotonic()

        async def report(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_S:
                told = time.monotonic()
                await self._send(type="progress", stage="index", done=done, total=total, id=document)

        async def ready(chunks: int) -> None:
            await self._indexed(document, chunks, max(1, intake.done))

        try:
            await self._service.take_in(document, intake, report, ready)
        finally:
            if self._intakes.get(document, (None,))[0] is intake:
                del self._intakes[document]

    async def _indexed(self, document: str, chunks: int, pages: int) -> None:
        await self._send(type="progress", stage="index", done=pages, total=pages, id=document)
        await self._send(type="indexed", id=document, chunks=chunks)
        self._start(self._tell_of_vectors, document, chunks)

    async def _tell_of_vectors(self, document: str, chunks: int) -> None:
        """How far the vectors of a long document are that can be asked about already: none until it is kept."""
        told = False
        while True:
            is_being_kept = document in self._intakes and self._service.dimension > 0
            is_worked_at = is_being_kept or self._service.is_worked_at(document)
            if not is_worked_at and not told:
                return
            try:
                counts = await self._service.vector_counts(document) or ((0, chunks) if is_being_kept else None)
            except StoreError:  # nobody asked: the next question tells
                return
            if counts is None or not (told or counts[1] - counts[0] > FEW_CHUNKS):
                return
            await self._send(type="progress", stage="index", done=counts[0], total=counts[1], id=document)
            if not is_worked_at or counts[0] >= counts[1]:
                return
            told = True
            if self._service.is_worked_at(document):  # the last of them is told when it is there
                await self._service.vectors_settled(document, _PROGRESS_S)
            else:
                await asyncio.sleep(_PROGRESS_S)

    def _start(self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work, *args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Does a part of the work; what fails of it is told in a frame, and the connection lives."""
        with suppress(ConnectionClosed):
            try:
                await work(*args, **kwargs)
                return
            except ConnectionClosed:
                return
            except FrameError as error:
                trouble = str(error)
            except StoreError as why:
                logger.warning("%s", why)
                trouble = "The engine cannot reach what it keeps just now; ask again in a moment."
            except Exception:
                logger.exception("A task of a connection failed")
                trouble = "The engine failed at this; it is written in its log."
            await self._send(type="error", message=trouble)

    async def _send(self, **frame: Any) -> None:
        await self._connection.send(_encoded(**frame))


def _encoded(**frame: Any) -> str:
    return json.dumps(frame, ensure_ascii=False, allow_nan=False)
