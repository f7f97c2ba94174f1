"""A model endpoint that writes down what it is asked: so the text that a language model would get is seen from outside.

It speaks what OpenAI-compatible endpoints speak, on loopback, and says one sentence to everything.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from benchmarks.processes import free_port

MODEL = "recorder"
_SENTENCE = "The passages tell."


class Recorder:
    """The endpoint at `url`; `take` gives what it was asked since the last time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asked: list[list[dict[str, Any]]] = []

    @property
    def settings(self) -> Mapping[str, str]:
        """What a product must be told to use it."""
        return {"MIVA_LLM_URL": self.url, "MIVA_LLM_MODEL": MODEL, "MIVA_LLM_API_KEY": "only-for-measuring"}

    def take(self) -> list[list[dict[str, Any]]]:
        """The messages of each request since this was called last."""
        asked, self._asked = self._asked, []
        return asked

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST …/chat/completions: noted, and answered in pieces where that is wanted."""
        told = await request.json()
        self._asked.append(told["messages"])
        if not told.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": _SENTENCE}, "finish_reason": "stop"}
            return web.json_response({"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta, reason in (({"role": "assistant", "content": _SENTENCE}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            piece = {"id": "1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
            await response.write(f"data: {json.dumps(piece)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def models(self, _: web.Request) -> web.Response:
        """GET …/models."""
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """A recorder that listens until the end of the block."""
    port = free_port()
    found = Recorder(f"http://127.0.0.1:{port}/v1")
    application = web.Application(client_max_size=16 * 1024**2)
    application.router.add_post("/v1/chat/completions", found.complete)
    application.router.add_get("/v1/models", found.models)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield found
    finally:
        await runner.cleanup()


def passages(messages: list[dict[str, Any]], question: str) -> str:
    """What a request says besides its instructions and the question.

    Instructions are the system's messages, unless nothing else holds more than the question.
    """
    rest = _joined([message for message in messages if message.get("role") != "system"], question)
    return rest or _joined(messages, question)


def _joined(messages: list[dict[str, Any]], question: str) -> str:
    return "\n\n".join(str(message.get("content", "")) for message in messages).replace(question, " ").strip()
