"""A tab where WebSockets are cut: it watches conversations as server-sent events (contract section 6)."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.faults.browser import OPEN_PATIENCE_S, Tab
from tests.faults.script import Question

SILENCE_S = 20.0
"""The server says at least every 15 s that it is there."""


class StreamTab(Tab):
    """Follows each conversation in an answer of its own. It only watches: it neither asks nor cancels."""

    def __init__(self, *more: Any) -> None:
        super().__init__(*more)
        self._answers: dict[str, aiohttp.ClientResponse] = {}
        self._streams: dict[str, asyncio.Task[None]] = {}

    def leave(self, label: str) -> None:
        super().leave(label)
        if label in self._streams:
            self._streams.pop(label).cancel()

    def cancel(self, question: Question) -> None:
        """Leaves that to others."""

    def _transports(self) -> list[asyncio.Transport]:
        connections = [answer.connection for answer in self._answers.values() if answer.connection is not None]
        return [held.transport for held in connections if isinstance(held.transport, asyncio.Transport)]

    async def _leave_server(self, politely: bool) -> None:
        if not politely:
            await super()._leave_server(politely)
        if self._outgoing is not None:
            self._outgoing.put_nowait({"conversation": None})

    async def _session(self) -> None:
        if not self._online.is_set():
            return
        still = aiohttp.ClientTimeout(total=None, sock_connect=OPEN_PATIENCE_S, sock_read=SILENCE_S)
        self._gone.clear()
        outgoing = self._begin()
        try:
            async with (
                aiohttp.ClientSession(headers={"Cookie": self._cookie}, timeout=still, read_bufsize=2**24) as session,
                asyncio.TaskGroup() as streams,
            ):
                while (label := (await outgoing.get())["conversation"]) is not None:
                    self._streams[label] = streams.create_task(self._stream(session, label))
                raise StreamEnded
        except* (aiohttp.ClientError, OSError, TimeoutError, StreamEnded):
            pass
        finally:
            self._outgoing = None
            self._streams.clear()
            self._gone.set()

    async def _stream(self, session: aiohttp.ClientSession, label: str) -> None:
        """Takes what is told of a conversation; raises StreamEnded, as it never should end while somebody listens."""
        url = f"http://127.0.0.1:{self.worker.door.port}/api/session/{quote(label)}/events/"
        async with session.get(url, headers={"Last-Event-ID": str(self.views[label].last)}) as answer:
            if answer.status != 200:
                self._counts.surprises.append(f"{self.name} was answered {answer.status}: {await answer.text()}")
                raise StreamEnded
            self._answers[label] = answer
            try:
                async for line in answer.content:
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        await self._take(json.loads(line.removeprefix(b"data: ")))
            finally:
                del self._answers[label]
        raise StreamEnded


class StreamEnded(Exception):
    """It has to be opened again."""
