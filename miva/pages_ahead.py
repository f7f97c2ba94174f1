"""Pages for the engine while the rest of their document is still being read (contract section 4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from miva.engine_client import Link, greeted, open_link, remember
from miva.protocol import engine
from miva.protocol.errors import EngineError, EngineFailed
from miva.protocol.events import Progress

logger = logging.getLogger("miva.pages_ahead")


class PagesAhead:
    """The first pages of a document on their way to an engine that keeps documents.

    What goes wrong here costs nothing but time: the engine is given all of the document when that has been read.
    """

    def __init__(self, id: str, name: str, owner: str) -> None:
        self._id, self._name, self._owner = id, name, owner
        self._loop = asyncio.get_running_loop()
        self._pages: list[str] = []
        self._total = 0
        self._news = asyncio.Event()
        self._is_over = False
        self._sending: asyncio.Task[Link] | None = None

    def add(self, number: int, total: int, text: str) -> None:
        """A page, counted from 1, of so many in all; from any thread. One that is not the next is left for later."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the document any more
            self._loop.call_soon_threadsafe(self._add, number, total, text)

    async def handed_over(self, pages: Sequence[str]) -> tuple[Link, int] | None:
        """The connection on which the engine has got so many of a document's `pages` as they are now that all are read.

        None where it has to be given all of them.
        """
        self._is_over = True
        self._news.set()
        if self._sending is None or list(pages[: len(self._pages)]) != self._pages:
            await self.close()
            return None
        link = None
        try:
            link = await self._sending  # while this waits, and is perhaps cancelled, the connection is `close`'s
        except EngineFailed as why:
            logger.info("A document's pages could not be sent ahead: %s", why.message)
        self._sending = None
        return (link, len(self._pages)) if link is not None else None

    async def close(self) -> None:
        """Takes everything back that was not handed over: an engine forgets what has no end."""
        self._is_over = True
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.wait((sending,))
            if not sending.cancelled() and sending.exception() is None:
                await sending.result().close()

    def _add(self, number: int, total: int, text: str) -> None:
        if self._is_over or number != len(self._pages) + 1:
            return
        self._pages.append(text)
        self._total = total
        self._news.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(), name="pages ahead")

    async def _send(self) -> Link:
        link = await open_link(documents=True)
        try:
            if not link.keeps_documents:
                raise EngineError("The answering engine keeps no documents.")
            remember(await greeted(link))
            hearing = asyncio.create_task(_ignore_progress(link), name="pages ahead")
            try:
                await self._send_pages(link, hearing)
            finally:
                hearing.cancel()
                await asyncio.wait((hearing,))
        except BaseException:
            await link.close()
            raise
        return link

    async def _send_pages(self, link: Link, hearing: asyncio.Task[None]) -> None:
        await link.send(engine.document(self._id, self._name, self._total, self._owner))
        sent = 0
        while True:
            while sent < len(self._pages) and not hearing.done():
                await link.send(engine.page(self._id, sent + 1, self._pages[sent]))
                sent += 1
            if hearing.done():
                raise EngineError("The answering engine did not take the document.")
            if self._is_over:
                return
            self._news.clear()
            await self._news.wait()


async def _ignore_progress(link: Link) -> None:
    """Reads what the engine tells, which otherwise would fill the connection; ends where it is anything else."""
    with contextlib.suppress(EngineFailed):
        while isinstance(engine.read(await link.receive(), keeps_documents=True), Progress):
            pass
