"""The fast path (contract section 3.1): an engine connection for a browser socket, frames passed on as they came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from django.conf import settings

from miva.engine_client import EngineClosed, Link, open_link
from miva.protocol.errors import Busy, EngineError, EngineFailed, EngineTimeout, MivaError

logger = logging.getLogger("miva.plain_chat")

MOST_UNANSWERED = 20_000_000
"""Characters of questions that are held for an engine that says nothing."""

Hear = Callable[[Sequence[str]], Awaitable[None]]
Fail = Callable[[MivaError], Awaitable[None]]


class PlainChat:
    """Forwards frames to the engine in order and passes its frames on, for as long as the browser stays.

    `hear` gets the text frames of the engine in order, those that came together at once; `fail` each error that a
    question ended with.
    """

    def __init__(self, hear: Hear, fail: Fail) -> None:
        self._hear = hear
        self._fail = fail
        self._link: Link | None = None
        self._reader: asyncio.Task[None] | None = None
        self._unanswered: list[str] = []
        """Frames forwarded since the engine last said anything."""
        self._was_retried = False
        self._silence: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        """Held while the link is made or replaced, so that frames keep their order."""

    async def forward(self, frame: str) -> None:
        """Sends a question to the engine, connecting where there is no connection.

        Raises EngineFailed, or Busy where too much waits for an answer.
        """
        async with self._turn:
            if sum(map(len, self._unanswered)) + len(frame) > MOST_UNANSWERED and self._unanswered:
                raise Busy("The engine has not answered yet. Wait for it before you send more.")
            self._unanswered.append(frame)
            try:
                await self._deliver(frame)
            except BaseException:
                if frame in self._unanswered:
                    self._unanswered.remove(frame)
                raise

    async def close(self) -> None:
        """Ends the connection to the engine; nothing is sent any more."""
        self._stop_waiting()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def _deliver(self, frame: str) -> None:
        """A frame to the engine; where the connection turns out to be gone, all that is unanswered over a new one."""
        if self._link is not None:
            try:
                await self._link.send(frame)
                self._wait_for_answer(self._link)
                return
            except EngineFailed:
                self._link = None
        await self._connect_and_send()

    async def _connect_and_send(self, tried: set[str] | None = None) -> None:
        link = await open_link(documents=False, tried=tried, patience_s=settings.MIVA_ENGINE_CONNECT_S)
        try:
            for frame in self._unanswered:
                await link.send(frame)
        except BaseException:
            await link.close()
            raise
        self._link = link
        self._reader = asyncio.create_task(self._read(link), name="plain-engine")
        self._wait_for_answer(link)

    async def _read(self, link: Link) -> None:
        """Passes on what the engine sends until its connection ends, then settles what it left unanswered."""
        try:
            while True:
                frames = await link.receive_all()
                if self._unanswered:
                    self._unanswered.clear()
                    self._was_retried = False
                    self._stop_waiting()
                await self._hear(frames)
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
            frames = self._unanswered[:]
            if frames and may_retry and not self._was_retried:
                self._was_retried = True
                try:
                    await self._connect_and_send({link.address.url})
                    return
                except EngineFailed as failure:
                    why = failure
            self._was_retried = False
            self._unanswered.clear()
        for _ in frames:
            await self._fail(EngineError() if isinstance(why, EngineClosed) else why)
        if not frames and not may_retry:
            await self._fail(why)

    def _wait_for_answer(self, link: Link) -> None:
        if self._unanswered and self._silence is None:
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
            frames, self._unanswered = self._unanswered, []
            if self._link is link:
                self._link = None
                if self._reader is not None:
                    self._reader.cancel()
        await asyncio.gather(link.close(), return_exceptions=True)
        for _ in frames:
            await self._fail(EngineTimeout())
