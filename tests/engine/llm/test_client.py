"""The client against a real server that behaves in every way that endpoints do."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from miva.engine.llm import openai_client
from miva.engine.llm.completion import MAX_LINE
from miva.engine.llm.config import Endpoint, Patience
from miva.engine.llm.failures import ModelFailed
from miva.engine.llm.openai_client import ATTEMPTS, Connections, OpenAiModel
from miva.engine.llm.task import Ending, Prompt
from tests.engine.llm.endpoint import QUICK, Script, ScriptedEndpoint, Turn, answering, serving, silent, status

PROMPT = Prompt([{"role": "user", "content": "How high?"}], 0.3, 50)
KEY = "sk-very-secret-0123456789"


@asynccontextmanager
async def model_at(
    *scripts: Script, patience: Patience = QUICK, models: object = None, **endpoint: Any
) -> AsyncIterator[tuple[OpenAiModel, ScriptedEndpoint]]:
    async with serving(*scripts, models=models) as scripted:
        connections = Connections()
        try:
            yield OpenAiModel(scripted.endpoint(**endpoint), patience, connections), scripted
        finally:
            await connections.close()


async def answer(model: OpenAiModel, ending: Ending | None = None) -> str:
    return "".join([piece async for piece in model.write(PROMPT, ending or Ending())])


async def failure(model: OpenAiModel) -> str:
    with pytest.raises(ModelFailed) as caught:
        await answer(model)
    assert caught.value.words == str(caught.value)
    return caught.value.words


async def test_an_answer_comes_in_pieces_and_the_question_as_the_api_has_it() -> None:
    async with model_at(answering("It is ", "19.3 m", " high."), api_key=KEY) as (model, scripted):
        pieces = [piece async for piece in model.write(PROMPT, Ending())]
    assert pieces == ["It is ", "19.3 m", " high."]
    assert scripted.asked == [
        {"model": "scripted", "messages": PROMPT.messages, "temperature": 0.3, "max_tokens": 50, "stream": True}
    ]
    assert scripted.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_without_a_key_none_is_sent_and_the_connection_is_used_again() -> None:
    async with model_at(answering("One."), answering("Two.")) as (model, scripted):
        ports = []

        async def noting(turn: Turn) -> None:
            assert turn.request.transport is not None
            ports.append(turn.request.transport.get_extra_info("peername")[1])
            await turn.say("x")
            await turn.end()

        scripted.scripts = [noting]
        assert [await answer(model), await answer(model)] == ["x", "x"]
    assert "Authorization" not in scripted.headers[0]
    assert ports[0] == ports[1]


async def test_plain_json_is_an_answer_too() -> None:
    async def plain(turn: Turn) -> web.StreamResponse:
        return web.json_response({"choices": [{"message": {"content": "19.3 m."}, "finish_reason": "length"}]})

    ending = Ending()
    async with model_at(plain) as (model, _):
        assert await answer(model, ending) == "19.3 m."
    assert ending.cut


@pytest.mark.parametrize(("why", "cut"), [("stop", False), ("length", True)])
async def test_an_end_by_length_is_told(why: str, cut: bool) -> None:
    ending = Ending()
    async with model_at(answering("It is", why=why)) as (model, _):
        await answer(model, ending)
    assert ending.cut is cut


async def test_what_a_model_thinks_aloud_is_left_out() -> None:
    pieces = ["<th", "ink>Let me see: 42", "?</thi", "nk>\n\n", "It is 19", " < 20."]
    async with model_at(answering(*pieces)) as (model, _):
        assert (await answer(model)).strip() == "It is 19 < 20."


async def test_an_answer_that_only_begins_like_a_thought_is_kept() -> None:
    async with model_at(answering("<thi")) as (model, _):
        assert await answer(model) == "<thi"


async def test_thoughts_of_their_own_field_are_signs_of_life() -> None:
    async def thinking(turn: Turn) -> None:
        for _ in range(6):
            await turn.say("", reasoning_content="hm")
            await asyncio.sleep(0.15)
        await turn.say("19.3 m.")
        await turn.end()

    patience = Patience(first_s=0.6, between_s=0.6, total_s=10, pause_s=0.01)
    async with model_at(thinking, patience=patience) as (model, _):
        assert await answer(model) == "19.3 m."


async def test_comments_other_fields_and_crlf_are_read_over() -> None:
    async def odd(turn: Turn) -> None:
        await turn.raw(b": ping\r\n\r\nevent: message\r\nid: 7\r\nretry: 10\r\n")
        await turn.raw(b'data:{"choices":[{"delta":{"content":"19 \xc3')
        await turn.raw(b'\xa9"}}]}\r')
        await turn.raw(b'\n\r\ndata: {"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}')

    async with model_at(odd) as (model, _):
        assert await answer(model) == "19 é"


# --- time ---


async def test_a_server_that_never_begins_is_given_up() -> None:
    async with model_at(silent, patience=Patience(first_s=0.3)) as (model, scripted):
        words = await failure(model)
    assert words.startswith("scripted at 127.0.0.1:")
    assert words.endswith("failed: it did not begin to answer within 0.3 seconds.")
    assert len(scripted.asked) == 1


async def test_comments_are_no_beginning() -> None:
    async def pinging(turn: Turn) -> None:
        while True:
            await turn.raw(b": ping\n\n")
            await asyncio.sleep(0.05)

    async with model_at(pinging, patience=Patience(first_s=0.4)) as (model, scripted):
        assert "did not begin to answer within 0.4 seconds" in await failure(model)
        await asyncio.wait_for(scripted.cancelled.wait(), 2)


async def test_a_server_that_falls_silent_is_given_up() -> None:
    async def stalling(turn: Turn) -> None:
        await turn.say("It is ")
        await asyncio.sleep(60)

    async with model_at(stalling, patience=Patience(between_s=0.3)) as (model, _):
        assert (await failure(model)).endswith("fell silent for 0.3 seconds, after 6 characters of its answer.")


async def test_a_slow_model_has_time_but_not_for_ever() -> None:
    async def slow(turn: Turn) -> None:
        while True:
            await turn.say("a ")
            await asyncio.sleep(0.1)

    patience = Patience(first_s=2, between_s=2, total_s=0.8)
    async with model_at(slow, patience=patience) as (model, scripted):
        assert "took longer than 0.8 seconds" in await failure(model)
        await asyncio.wait_for(scripted.cancelled.wait(), 2)


async def test_an_address_that_does_not_take_connections_is_given_up() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]  # the queue of this socket is full: nobody accepts
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        connections = Connections()
        patience = Patience(connect_s=0.2, pause_s=0.01)
        model = OpenAiModel(Endpoint("openai", f"http://127.0.0.1:{port}/v1", "m"), patience, connections)
        began = time.monotonic()
        words = await failure(model)
        await connections.close()
        for filler in fillers:
            filler.close()
    assert words == f"m at 127.0.0.1:{port} failed: it cannot be reached in time."
    assert time.monotonic() - began < 5


# --- trouble, and asking again ---


async def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    connections = Connections()
    model = OpenAiModel(Endpoint("openai", f"http://127.0.0.1:{port}/v1", "m", KEY), QUICK, connections)
    words = await failure(model)
    await connections.close()
    assert words == f"m at 127.0.0.1:{port} failed: it cannot be reached (connection refused)."


@pytest.mark.parametrize("trouble", [status(500), status(503), status(429), lambda turn: _cut(turn)])
async def test_what_passes_is_asked_again(trouble: Script) -> None:
    async with model_at(trouble, trouble, answering("Here.")) as (model, scripted):
        assert await answer(model) == "Here."
    assert len(scripted.asked) == 3


async def _cut(turn: Turn) -> None:
    turn.cut()


async def test_but_not_for_ever() -> None:
    async with model_at(status(502, "upstream is down")) as (model, scripted):
        assert (await failure(model)).endswith("failed: it answered with status 502 (upstream is down).")
    assert len(scripted.asked) == ATTEMPTS


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
async def test_what_does_not_pass_is_not_asked_again(code: int) -> None:
    async with model_at(status(code, "no")) as (model, scripted):
        await failure(model)
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("after", [lambda: "1", lambda: formatdate(time.time() + 2, usegmt=True)])
async def test_the_rest_that_a_server_asks_for_is_given(after: Callable[[], str]) -> None:
    async with model_at(status(429, **{"Retry-After": after()}), answering("Here.")) as (model, _):
        began = time.monotonic()
        assert await answer(model) == "Here."
    assert 0.7 < time.monotonic() - began < 5


async def test_too_long_a_rest_is_not_waited_for() -> None:
    async with model_at(status(429, **{"Retry-After": "21"})) as (model, scripted):
        assert "asks for 21 seconds of rest" in await failure(model)
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("after", ["soon", "-5", "nan", "1e400", "Mon, 99 Foo 2020 00:00:00 GMT"])
async def test_a_senseless_rest_does_not_break_it(after: str) -> None:
    async with model_at(status(503, **{"Retry-After": after}), answering("Here.")) as (model, _):
        assert await asyncio.wait_for(answer(model), 5) == "Here."


async def test_a_redirect_is_not_followed() -> None:
    async with model_at(answering("stolen")) as (target, thief):

        async def elsewhere(turn: Turn) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(thief.url + "/chat/completions")

        async with model_at(elsewhere, api_key=KEY) as (model, _):
            assert "it sends elsewhere (status 307)" in await failure(model)
        assert thief.asked == []
        assert target.name == "scripted"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html><body>Welcome</body></html>\n", "neither events nor JSON"),
        (b"data: {nonsense\n\n", "something that is no JSON"),
        (b"data: 17\n\n", "JSON that is no answer"),
        (b'data: {"choices": [{"delta": {"content": 5}}]}\n\n', "JSON that is no answer"),
        (b'data: {"choices": "none"}\n\n', "JSON that is no answer"),
        (b'{"result": "hello"}', "JSON that is no answer"),
        (b'{"choices": []}', "JSON that is no answer"),
        (b"data: \xff\xfe\n\n", "something that is no JSON"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "something that is no JSON"),
        (b"x" * (MAX_LINE + 10), "a line without an end"),
    ],
)
async def test_garbage_is_told_as_such(data: bytes, words: str) -> None:
    async def garbage(turn: Turn) -> None:
        await turn.raw(data)

    async with model_at(garbage) as (model, scripted):
        assert words in await failure(model)
    assert len(scripted.asked) == 1


async def test_what_is_no_http_is_told_as_such() -> None:
    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(rubbish, "127.0.0.1", 0) as server:
        connections = Connections()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        assert "what it sent is no HTTP" in await failure(OpenAiModel(Endpoint("openai", url, "m"), QUICK, connections))
        await connections.close()


async def test_garbage_in_the_middle_says_how_far_it_was() -> None:
    async def spoiled(turn: Turn) -> None:
        await turn.say("It is ")
        await turn.raw(b"data: oops\n\n")

    async with model_at(spoiled) as (model, _):
        assert (await failure(model)).endswith("it sent something that is no JSON, after 6 characters of its answer.")


@pytest.mark.parametrize("properly", [True, False])
async def test_a_connection_closed_in_the_middle_is_no_end(properly: bool) -> None:
    async def closing(turn: Turn) -> None:
        await turn.say("It is ")
        if not properly:
            await asyncio.sleep(0.1)
            turn.cut()

    async with model_at(closing) as (model, scripted):
        words = await failure(model)
    assert words.endswith("it closed the connection in the middle of its answer, after 6 characters of its answer.")
    assert len(scripted.asked) == 1, "what has begun is not asked again"


async def test_content_in_parts_is_read_without_its_thoughts() -> None:
    async def in_parts(turn: Turn) -> None:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
        for parts in ([thought], [{"type": "text", "text": "It is "}], [{"type": "text", "text": "19."}], ["!"]):
            await turn.event({"choices": [{"delta": {"content": parts}}]})
        await turn.end()

    async with model_at(in_parts) as (model, _):
        assert await answer(model) == "It is 19.!"


async def test_an_error_among_the_events() -> None:
    async def failing(turn: Turn) -> None:
        await turn.say("It is ")
        await turn.event({"error": {"message": "out of memory", "code": 500}})

    async with model_at(failing) as (model, _):
        assert "failed: it reported an error (out of memory), after 6 characters" in await failure(model)


async def test_an_empty_answer_is_none() -> None:
    async with model_at(answering()) as (model, _):
        assert "it answered with nothing" in await failure(model)


async def test_an_endless_answer_is_given_up() -> None:
    async def endless(turn: Turn) -> None:
        while True:
            await turn.say("word " * 4000)

    async with model_at(endless) as (model, scripted):
        words = await failure(model)
        await asyncio.wait_for(scripted.cancelled.wait(), 2)
    assert "it did not come to an end" in words
    given = int(words.rpartition("after ")[2].split()[0])
    assert openai_client.MAX_ANSWER - 20_000 <= given <= openai_client.MAX_ANSWER


# --- stopping ---


async def test_closing_the_iterator_closes_the_connection() -> None:
    async def slow(turn: Turn) -> None:
        await turn.say("It ")
        await asyncio.sleep(60)

    async with model_at(slow) as (model, scripted):
        async with aclosing(model.write(PROMPT, Ending())) as pieces:
            assert await anext(pieces) == "It "
            began = time.monotonic()
        await asyncio.wait_for(scripted.cancelled.wait(), 2)
        assert time.monotonic() - began < 0.2


@pytest.mark.parametrize("script", [silent, status(503, **{"Retry-After": "15"})])
async def test_a_question_that_waits_is_cancelled_at_once(script: Script) -> None:
    async with model_at(script) as (model, scripted):
        task = asyncio.create_task(answer(model))
        while not scripted.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if script is silent:
            await asyncio.wait_for(scripted.cancelled.wait(), 2)
        assert time.monotonic() - began < 0.2


# --- the key ---


@pytest.mark.parametrize(
    "script",
    [
        status(401, f"Incorrect API key provided: {KEY[:8]}…"),
        status(400, f"the key {KEY} is wrong"),
        status(500, f"the key {KEY} is wrong"),
        silent,
    ],
)
async def test_no_error_and_no_log_holds_the_key(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with model_at(script, api_key=KEY, patience=Patience(first_s=0.3, pause_s=0.01)) as (model, scripted):
        words = await failure(model)
        assert KEY in scripted.headers[0]["Authorization"]
        assert KEY[:8] not in words + caplog.text + repr(model) + repr(scripted.endpoint(api_key=KEY))


# --- the first model that a place has ---


async def test_the_first_model_that_can_write_is_found_once() -> None:
    listed = {"data": [{"id": "nomic-embed-text:latest"}, {"id": "mistral:7b"}, {"id": "llama2"}]}
    async with model_at(answering("Here."), models=listed, model="", api_key=KEY) as (model, scripted):
        assert model.name == ""
        assert [await answer(model), await answer(model)] == ["Here.", "Here."]
        assert model.name == "mistral:7b"
    assert scripted.paths == ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"]
    assert [asked["model"] for asked in scripted.asked] == ["mistral:7b"] * 2
    assert scripted.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("listed", [{"data": []}, {"data": [{"id": "bge-m3"}]}, [], {"data": [{"id": 5}]}, {"x": 1}])
async def test_a_place_without_a_usable_model_says_what_to_set(listed: Any) -> None:
    async with model_at(answering("Here."), models=listed, model="") as (model, scripted):
        assert "set MIVA_LLM_MODEL" in await failure(model)
    assert scripted.asked == []
