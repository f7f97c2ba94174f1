"""The fast path (contract section 3.1): an engine connection for a browser socket, frames passed on as they came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from django.conf import settings

from miva.engine_client import EngineClosed, Link, greeted, open_link
from miva.plain_questions import OpenQuestion, OpenQuestions
from miva.protocol.errors import Busy, EngineError, EngineFailed, EngineTimeout, MivaError

logger = logging.getLogger("miva.plain_chat")

MOST_UNANSWERED = 20_000_000
"""Characters of questions that are held for an engine that says nothing."""

Name = TypeVar("Name")


class PlainChat(Generic[Name]):
    """Forwards frames to the engine in order and passes its frames on, for as long as the browser stays.

    `hear` gets the text frames of the engine in order, those that came together at once, with the name of the question
    that they answer as far as can be told; `fail` each error that a question ended with, and its name. None is the name
    of no question.
    """

    def __init__(
        self,
        hear: Callable[[Name | None, Sequence[str]], Awaitable[None]],
        fail: Callable[[Name | None, MivaError], Awaitable[None]],
    ) -> None:
        self._hear = hear
        self._fail = fail
        self._link: Link | None = None
        self._reader: asyncio.Task[None] | None = None
        self._questions: OpenQuestions[Name] = OpenQuestions()
        self._was_retried = False
        self._silence: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        """Held while the link is made or replaced, so that frames keep their order."""

    async def forward(self, frame: str, name: Name) -> None:
        """Sends a question to the engine, connecting where there is no connection.

        Raises EngineFailed, or Busy where too much waits for an answer.
        """
        lost: list[OpenQuestion[Name]] = []
        try:
            async with self._turn:
                held = self._questions.size
                if held and held + len(frame) > MOST_UNANSWERED:
                    raise Busy("The engine has not answered yet. Wait for it before you send more.")
                question = self._questions.ask(frame, name)
                try:
                    await self._deliver(question, lost)
                except BaseException:
                    self._questions.forget(question)
                    raise
        finally:
            await self._tell_failed(lost, EngineError())

    async def close(self) -> None:
        """Ends the connection to the engine; nothing is sent any more."""
        self._stop_waiting()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def _deliver(self, question: OpenQuestion[Name], lost: list[OpenQuestion[Name]]) -> None:
        """A question to the engine; where the connection turns out to be gone, over a new one, with all that the engine
        has said nothing since. `lost` gets those that went with the old one."""
        frame = question.frame
        if self._link is not None:
            try:
                await self._link.send(frame)
                self._wait_for_answer(self._link)
                return
            except EngineFailed as why:
                self._link = None
                question.frame, question.may_be_answered = frame, False  # it was not sent, whatever was said meanwhile
                lost += self._questions.end(is_clean=_is_clean(why))
        await self._connect_and_send()

    async def _connect_and_send(self, tried: set[str] | None = None) -> None:
        link = await open_link(documents=False, tried=tried, patience_s=settings.MIVA_ENGINE_CONNECT_S)
        try:
            if link.keeps_documents:
                await greeted(link)  # for the relay, not for the browser
            for question in self._questions.all:
                await link.send(question.frame)
        except BaseException:
            await link.close()
            raise
        self._link = link
        self._reader = asyncio.create_task(self._read(link), name="plain-engine")
        self._wait_for_answer(link)

    async def _read(self, link: Link) -> None:
        """Passes on what the engine sends until its connection ends, then settles what it left unanswered."""
        questions = self._questions
        name: Name | None = None
        try:
            while True:
                frames = await link.receive_all()
                if self._link is not link:  # the last words of a connection that was replaced
                    await self._hear(name, frames)
                    continue
                if questions.await_a_word:
                    self._was_retried = False
                    self._stop_waiting()
                if questions.are_several:
                    for name, answer in questions.shared_out(frames):
                        await self._hear(name, answer)
                else:
                    name = questions.note(frames)
                    await self._hear(name, frames)
        except EngineClosed as why:
            await self._ended(link, why, may_retry=True)
        except EngineFailed as why:
            await link.close()
            await self._ended(link, why, may_retry=False)
        except Exception:
            logger.exception("Relaying failed")
            await link.close()
            await self._ended(link, EngineError(), may_retry=False)

    async def _ended(self, link: Link, why: EngineFailed, *, may_retry: bool) -> None:
        async with self._turn:
            if self._link is link:
                self._link = None
                self._stop_waiting()
            elif self._link is not None:
                return  # a newer connection has taken over, and what was unanswered with it
            lost = self._questions.end(is_clean=_is_clean(why))
            failure = await self._ask_again(link) if may_retry and self._questions.all else None
            unanswered = self._questions.take_all() if self._link is None else []
            if self._link is None:
                self._was_retried = False
        error = _told(why)
        await self._tell_failed(lost, error)
        await self._tell_failed(unanswered, failure or error)
        if not (lost or unanswered or may_retry):
            await self._fail(None, why)

    async def _ask_again(self, link: Link) -> MivaError | None:
        """What nothing was said to, once more over another connection; returns why that failed, where it was tried."""
        if self._was_retried:
            return None
        self._was_retried = True
        try:
            await self._connect_and_send({link.address.url})
        except EngineFailed as why:
            return _told(why)
        return None

    async def _tell_failed(self, questions: Sequence[OpenQuestion[Name]], error: MivaError) -> None:
        for question in questions:
            await self._fail(question.name, error)

    def _wait_for_answer(self, link: Link) -> None:
        if self._questions.await_a_word and self._silence is None:
            loop = asyncio.get_running_loop()
            self._silence = loop.call_later(settings.MIVA_ENGINE_TIMEOUT_S, self._give_up, link)

    def _stop_waiting(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _give_up(self, link: Link) -> None:
        self._silence = None
        self._giving_up = asyncio.create_task(self._end_silence(link))

    async def _end_silence(self, link: Link) -> None:
        async with self._turn:
            failed = [*self._questions.end(is_clean=False), *self._questions.take_all()]
            if self._link is link:
                self._link = None
                if self._reader is not None:
                    self._reader.cancel()
        await asyncio.gather(link.close(), return_exceptions=True)
        await self._tell_failed(failed, EngineTimeout())


def _is_clean(why: EngineFailed) -> bool:
    return isinstance(why, EngineClosed) and why.clean


def _told(why: EngineFailed) -> EngineFailed:
    """What an asker is told of the end of a connection."""
    return EngineError() if isinstance(why, EngineClosed) else why
