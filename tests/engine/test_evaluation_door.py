"""The client of `make eval` before a scripted server, and the endpoint that writes down what a model is asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from benchmarks.evaluation import door
from benchmarks.evaluation.door import knock
from benchmarks.evaluation.prompts import MODEL, recorder
from benchmarks.evaluation.scoring import Source

Say = Callable[..., Coroutine[Any, Any, None]]
Act = Callable[[dict[str, Any], Say], Coroutine[Any, Any, None]]


@asynccontextmanager
async def server(act: Act) -> AsyncIterator[str]:
    """A server that does `act` with each text frame; its address."""

    async def handle(connection: ServerConnection) -> None:
        async def say(**frame: Any) -> None:
            await connection.send(json.dumps(frame))

        async for frame in connection:
            if isinstance(frame, str):
                await act(json.loads(frame), say)

    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol("miva.v1")]) as listening:
        yield f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}/ws/chat/"


def state(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "d1", "name": "a.pdf", "status": status} | more


async def test_a_file_is_indexed_when_its_vectors_are_there_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "QUIET_S", 0.3)

    async def act(frame: dict[str, Any], say: Say) -> None:
        about = {"id": frame["id"], "document": "d1", "stage": "index"}
        await say(type="document", id=frame["id"], document=state("receiving"))
        await say(type="progress", id=frame["id"], stage="upload", done=0, total=4)
        await say(type="document", id=frame["id"], document=state("ready"))
        for done in (1, 2, 3):
            await say(type="progress", done=done, total=3, **about)
            if done < 3:
                await asyncio.sleep(0.5)  # longer than the quiet that ends it, and still it is not the end

    async with server(act) as url, knock(url) as client:
        began = time.perf_counter()
        upload = await client.send_file("a.pdf", b"%PDF")
        ended = await client.all_indexed([upload], 10)
    assert (upload.document, upload.status, upload.done, upload.total) == ("d1", "ready", 3, 3)
    assert upload.ready - began < 0.5 < 0.9 < ended - began
    assert time.perf_counter() - ended >= 0.3


async def test_a_file_that_is_not_taken_is_told() -> None:
    async def act(frame: dict[str, Any], say: Say) -> None:
        await say(type="document", id=frame["id"], document=state("failed", error="broken_pdf"))

    async with server(act) as url, knock(url) as client:
        with pytest.raises(RuntimeError, match="broken_pdf"):
            await client.all_indexed([await client.send_file("a.pdf", b"%PDF")], 10)


async def test_an_answer_with_its_times_and_its_sources() -> None:
    async def act(frame: dict[str, Any], say: Say) -> None:
        assert (frame["message"], frame["documents"]) == ("When?", ["d1"])
        turn = {"conversation": frame["conversation"], "turn": "t"}
        await say(type="accepted", id=frame["id"], **turn)
        await asyncio.sleep(0.1)
        await say(type="delta", text="In ", **turn)
        await asyncio.sleep(0.1)
        source = {"document": "d1", "name": "a.pdf", "page": 2, "quote": "1905", "start": 3, "end": 7}
        stranger = {"document": "d2", "name": "b.pdf", "page": None, "quote": "x"}
        await say(type="done", text="In 1905", html="", message_id=1, sources=[source, stranger], **turn)

    async with server(act) as url, knock(url) as client:
        said = await client.ask("When?", {"d1": "folder/a.pdf"})
    assert said.text == "In 1905"
    assert said.sources == (Source("folder/a.pdf", 2, "1905", 3, 7), Source("d2", None, "x"))
    assert 0.1 <= said.first_s < 0.2 <= said.done_s


async def test_a_question_that_comes_to_nothing_is_no_answer() -> None:
    async def act(frame: dict[str, Any], say: Say) -> None:
        await say(type="error", conversation=frame["conversation"], turn="t", code="engine_error", message="No.")

    async with server(act) as url, knock(url) as client:
        with pytest.raises(RuntimeError, match="engine_error"):
            await client.ask("When?", {})


async def test_what_a_model_is_asked_is_written_down() -> None:
    messages = [{"role": "user", "content": "[1] The lamp.\n\nWhen?"}]
    async with recorder() as endpoint, aiohttp.ClientSession() as session:
        assert endpoint.settings["MIVA_LLM_URL"] == endpoint.url
        async with session.get(f"{endpoint.url}/models") as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == [MODEL]
        address = f"{endpoint.url}/chat/completions"
        async with session.post(address, json={"model": MODEL, "messages": messages}) as answer:
            assert (await answer.json())["choices"][0]["message"]["content"]
        async with session.post(address, json={"model": MODEL, "messages": messages, "stream": True}) as answer:
            events = [event for event in (await answer.text()).split("\n\n") if event]
        assert events[-1] == "data: [DONE]"
        assert json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]["content"]
        assert endpoint.take() == [messages, messages]
        assert endpoint.take() == []
