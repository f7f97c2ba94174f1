"""A scripted model endpoint: a real HTTP server on loopback that does what a test says, and remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from miva.engine.llm.config import Endpoint, Patience


class Turn:
    """One request and what is said to it."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self._response: web.StreamResponse | None = None

    async def raw(self, data: bytes, kind: str = "text/event-stream") -> None:
        """These bytes, behind a head that is sent with the first of them."""
        if self._response is None:
            self._response = web.StreamResponse(headers={"Content-Type": kind})
            await self._response.prepare(self.request)
        await self._response.write(data)

    async def event(self, values: object) -> None:
        await self.raw(b"data: " + json.dumps(values).encode() + b"\n\n")

    async def say(self, text: str, **more: str) -> None:
        """A piece of the answer."""
        await self.event({"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": None}]})

    async def end(self, why: str = "stop") -> None:
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": why}]})
        await self.event({"choices": [], "usage": {"completion_tokens": 3}})
        await self.raw(b"data: [DONE]\n\n")

    def cut(self) -> None:
        """Close the connection as it is."""
        assert self.request.transport is not None
        self.request.transport.abort()


Script = Callable[[Turn], Awaitable[web.StreamResponse | None]]


class ScriptedEndpoint:
    """Plays its scripts one after the other, the last one for ever; `cancelled` once the asker has gone away."""

    def __init__(self, *scripts: Script, models: object = None) -> None:
        self.scripts = list(scripts)
        self.models = models if models is not None else {"data": []}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.cancelled = asyncio.Event()
        self.running = self.most = 0
        self.url = ""

    def endpoint(self, model: str = "scripted", **more: Any) -> Endpoint:
        return Endpoint(**{"kind": "openai", "url": self.url, "model": model, **more})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self._note(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.running += 1
        self.most = max(self.most, self.running)
        turn = Turn(request)
        try:
            given = await script(turn)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            return web.Response()
        finally:
            self.running -= 1
        return given or turn._response or web.Response()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        return web.json_response(self.models)

    def _note(self, request: web.Request) -> None:
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)


@asynccontextmanager
async def serving(*scripts: Script, models: object = None, port: int = 0) -> AsyncIterator[ScriptedEndpoint]:
    """Runs a scripted endpoint on this port, or a free one, of this machine."""
    scripted = ScriptedEndpoint(*scripts, models=models)
    application = web.Application()
    application.router.add_post("/v1/chat/completions", scripted._chat)
    application.router.add_get("/v1/models", scripted._models)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    assert site._server is not None
    scripted.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[attr-defined]
    try:
        yield scripted
    finally:
        await runner.cleanup()


def answering(*pieces: str, why: str = "stop") -> Script:
    """Says these pieces and ends."""

    async def script(turn: Turn) -> None:
        for piece in pieces:
            await turn.say(piece)
        await turn.end(why)

    return script


def status(code: int, message: str = "", **headers: str) -> Script:
    """Answers with an error."""

    async def script(turn: Turn) -> web.StreamResponse:
        return web.json_response({"error": {"message": message}}, status=code, headers=headers)

    return script


async def silent(turn: Turn) -> None:
    """Takes the question and says nothing."""
    await asyncio.sleep(60)


QUICK = Patience(connect_s=2, first_s=5, between_s=5, total_s=20, pause_s=0.01)
