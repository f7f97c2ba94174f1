"""An engine that answers with numbered words and stops in the middle of them until it is let go."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.engines import ScriptedEngine
from tests.product import PATIENCE_S


class Teller:
    """A script for `scripted_engine`: tells `words` words, and waits after `held_after` of them for `go`."""

    def __init__(self, words: int = 20, held_after: int = 5) -> None:
        self.words = words
        self.held_after = held_after
        self.go = asyncio.Event()
        self.questions: list[Any] = []
        self.cancels: list[Any] = []
        self.sources: list[Any] = []
        self.connections: list[ServerConnection] = []
        """Those on which a question came, in the order of the questions."""
        self._tellings: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Condition()

    @property
    def text(self) -> str:
        """A whole answer."""
        return "".join(f"{number} " for number in range(self.words))

    async def __call__(self, _: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        data = json.loads(frame)
        async with self._news:
            if data["type"] == "cancel":
                self.cancels.append(data)
                self.stop(data["unique_id"])
            else:
                self.questions.append(data)
                self.connections.append(connection)
                self._tellings[data["unique_id"]] = asyncio.create_task(self._tell(connection))
            self._news.notify_all()

    def stop(self, unique_id: str) -> None:
        self._tellings[unique_id].cancel()

    async def was_asked(self, times: int) -> None:
        """Returns when so many questions have come."""
        await self._until(lambda: len(self.questions) >= times)

    async def was_cancelled(self, times: int) -> None:
        await self._until(lambda: len(self.cancels) >= times)

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(condition)

    async def _tell(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in range(self.words):
                if number == self.held_after:
                    await self.go.wait()
                await connection.send(json.dumps({"type": "stream", "content": f"{number} "}))
            await connection.send(json.dumps({"type": "done", "response": self.text, "sources": self.sources}))
