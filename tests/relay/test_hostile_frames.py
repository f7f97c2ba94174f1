"""Frames made to keep a server busy: they are answered, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.engines import echo
from tests.relay.world import World, event, question, until

MEGABYTES = 20_000_000


def with_content(content: str, media_type: str = "application/pdf") -> str:
    """A frame with a file whose content stands in it exactly so."""
    return f'{{"message": "q", "file": {{"name": "a", "type": "{media_type}", "content": "{content}"}}}}'


HOSTILE: dict[str, tuple[Any, set[str]]] = {
    "spaces after a name": (lambda: '{"content"' + " " * MEGABYTES, {"bad_json", "bad_frame"}),
    "spaces after a colon": (lambda: '{"content":' + " " * MEGABYTES, {"bad_json", "bad_frame"}),
    "names": (lambda: '"content"' * (18_000_000 // 9), {"bad_json", "bad_frame"}),
    "short contents": (lambda: "{" + '"content":"",' * (18_000_000 // 13), {"bad_json", "bad_frame"}),
    "escaped slashes": (lambda: with_content("\\/" * (MEGABYTES // 2)), {"not_a_pdf"}),
    "escaped pluses": (lambda: with_content("\\u002B" * (MEGABYTES // 6 // 4 * 4)), {"not_a_pdf"}),
    "backslashes": (lambda: with_content("\\\\" * (MEGABYTES // 2)), {"bad_base64", "bad_json", "bad_frame"}),
    "line breaks": (lambda: with_content("\\r\\n" * (MEGABYTES // 4)), {"not_a_pdf", "bad_base64"}),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_frame_that_takes_long_to_understand_keeps_nobody_waiting(relay: World, kind: str) -> None:
    make, codes = HOSTILE[kind]
    frame = make()
    async with (
        relay.engine(echo),
        relay.socket(token=relay.token()) as client,
        relay.socket(token=relay.token(), dialect="miva.v1") as neighbour,
    ):
        await until(neighbour, "hello")
        answered = asyncio.create_task(event(client))
        sent = asyncio.create_task(client.send(frame))
        count = 0
        while count < 5 or not answered.done():
            await neighbour.send('{"type": "ping"}')
            assert (await event(neighbour))["type"] == "pong"
            count += 1
        await sent
        assert (await answered)["code"] in codes
        await client.send(question("still there?", None))
        assert (await event(client))["message"] == "still there?"


WORDS = ">>>???" * 20_000
"""A text in whose base64 every other letter is a plus or a slash."""


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("/", "\\/"),
        ("/", "\\u002f"),
        ("/", "\\u002F"),
        ("+", "\\u002b"),
        ("+", "\\u002B"),
        ("Pj4+", "Pj4+\\r\\n"),
        ("Pj4+", "\\nPj4\\u002B\\r"),
        ("=", "\\u003D"),
    ],
)
async def test_a_large_file_is_read_however_its_base64_is_escaped(relay: World, plain: str, written: str) -> None:
    content = base64.b64encode(f"{WORDS}!".encode()).decode()
    escaped = content.replace(plain, written)
    assert len(content) > 2 * 2**16
    assert escaped != content
    async with relay.engine(echo), relay.socket(token=relay.token()) as client:
        await client.send(with_content(escaped, "text/plain"))
        message = (await event(client))["message"]
    assert message == f"q\n\n--- File Content: a ---\n{WORDS}!\n--- End of File ---"


NUMBERS = {
    "long": "1" + "0" * 399,
    "negative": "-" + "9" * 400,
    "infinite": "1e400",
    "longer than any parser takes": "9" * 5000,
    "in a list": "[1e400]",
    "in an object": '{"a": [1' + "0" * 399 + "]}",
}


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_that_is_no_id_is_a_mistake_like_any_other(any_relay: World, number: str) -> None:
    code = "bad_json" if len(NUMBERS[number]) > 4300 else "bad_field"
    async with any_relay.engine(echo), any_relay.socket(token=any_relay.token()) as client:
        await client.send(f'{{"message": "q", "unique_id": {NUMBERS[number]}}}')
        found = await event(client)
        assert (found["code"], found.get("field")) == (code, "unique_id" if code == "bad_field" else None)
        await client.send(question("still there?", None))
        assert (await event(client))["message"] == "still there?"
    async with any_relay.socket(token=any_relay.token(), dialect="miva.v1") as client:
        await until(client, "hello")
        for frame in (
            f'{{"type": "ask", "id": {NUMBERS[number]}, "message": "q"}}',
            f'{{"type": "cancel", "turn": {NUMBERS[number]}}}',
        ):
            await client.send(frame)
            assert (await event(client))["code"] == code
        await client.send(json.dumps({"type": "ping"}))
        assert (await event(client))["type"] == "pong"
