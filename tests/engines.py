"""Scripted engines: ordinary WebSocket servers that do what a test says, and remember what they were told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Script = Callable[["ScriptedEngine", ServerConnection, str], Awaitable[None]]
"""What an engine does with one text frame of the relay."""


class ScriptedEngine:
    """Remembers `frames` (as text, in order over all connections) and `connections`; plays its script on each frame."""

    def __init__(self, script: Script, greeting: str | None = None) -> None:
        self.script = script
        self.greeting = greeting
        self.frames: list[str] = []
        self.connections: list[ServerConnection] = []
        self.port = 0
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/chat"

    @property
    def asked(self) -> list[Any]:
        """The frames as JSON."""
        return [json.loads(frame) for frame in self.frames]

    async def wait_for_frames(self, count: int, patience: float = 30) -> list[Any]:
        """The frames as JSON once there are that many."""
        async with asyncio.timeout(patience), self._news:
            await self._news.wait_for(lambda: len(self.frames) >= count)
        return self.asked

    async def wait_for_connections(self, count: int, patience: float = 30) -> None:
        async with asyncio.timeout(patience), self._news:
            await self._news.wait_for(lambda: len(self.connections) >= count)

    async def _serve(self, connection: ServerConnection) -> None:
        async with self._news:
            self.connections.append(connection)
            self._news.notify_all()
        try:
            if self.greeting is not None:
                await connection.send(self.greeting)
            async for frame in connection:
                async with self._news:
                    self.frames.append(frame if isinstance(frame, str) else frame.decode())
                    self._news.notify_all()
                await self.script(self, connection, self.frames[-1])
        except ConnectionClosed:
            pass


@asynccontextmanager
async def scripted_engine(
    script: Script,
    *,
    port: int = 0,
    subprotocols: list[str] | None = None,
    greeting: str | None = None,
    **options: Any,
) -> AsyncIterator[ScriptedEngine]:
    """Runs a scripted engine on a port of this machine (a free one, unless given).

    `greeting` is sent on each connection before anything else, `options` are those of websockets' `serve`.
    """
    engine = ScriptedEngine(script, greeting)
    names = [Subprotocol(name) for name in subprotocols] if subprotocols else None
    settings: dict[str, Any] = {"max_size": None, "compression": None, "subprotocols": names} | options
    async with serve(engine._serve, "127.0.0.1", port, **settings) as server:
        engine.port = next(iter(server.sockets)).getsockname()[1]
        yield engine


def answering(*frames: str) -> Script:
    """An engine that answers each question with the same frames."""

    async def script(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        for frame in frames:
            await connection.send(frame)

    return script


async def silent(_: ScriptedEngine, __: ServerConnection, ___: str) -> None:
    """An engine that takes questions and says nothing."""


async def echo(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
    """An engine that sends every frame back as it came."""
    await connection.send(frame)
