"""The transcripts beside the contract, played line by line against the running product."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, silent
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S, SHARED
from tests.relay.transcript import FOLDER, Player, lines
from tests.relay.world import World, until

TWO_PAGES = make_pdf(["Alpha", "Beta"])
HELLO = lines("engine-v1")[1]["frame"]
OTHERS = {"v1-resume", "v1-upload"}
"""Of a later issue: the numbered log and uploads in pieces."""
PLAYED = {
    "engine-v1",
    "plain-engine-down",
    "plain-mistakes",
    "plain-pdf",
    "query",
    "v1-ask",
    "v1-queue-cancel",
    "v1-untyped-engine",
}


def test_every_transcript_is_played_or_belongs_to_a_later_issue() -> None:
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == PLAYED | OTHERS


@pytest.mark.parametrize("path", sorted((SHARED / "contract").glob("*.jsonl")), ids=lambda path: path.stem)
def test_our_copies_are_the_contracts_own(path: Any) -> None:
    assert (FOLDER / path.name).read_bytes() == path.read_bytes()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def test_plain_pdf(any_relay: World) -> None:
    given = {"<base64 of two pages: 'Alpha', 'Beta'>": encoded(TWO_PAGES), "user-uuid": f"pdf-{any_relay.server}"}

    async def silence() -> None:
        await asyncio.sleep(1.5)

    async with any_relay.engine(silent) as engine, any_relay.socket() as client:
        await Player(client, engine, given, {"a minute of silence: no error": silence}).play(lines("plain-pdf"))


async def test_plain_mistakes(any_relay: World) -> None:
    async with any_relay.engine(silent) as engine, any_relay.socket() as client:
        await Player(client, engine).play(lines("plain-mistakes"))
        assert len(engine.frames) == 1


async def test_plain_engine_down(any_relay: World) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(any_relay.socket())

        async def comes_back() -> None:
            player.engine = await stack.enter_async_context(any_relay.engine(silent))

        player = Player(client, None, steps={"the socket stays; the engine comes back": comes_back})
        await player.play(lines("plain-engine-down"))


async def keeper(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
    """An engine that keeps documents, and leaves questions to the test."""
    data = json.loads(frame)
    if data["type"] == "document_end":
        await connection.send(json.dumps({"type": "indexed", "id": data["id"], "chunks": 1}))


async def test_query(relay: World) -> None:
    token, content = relay.token(), make_pdf(["Django is a web framework."])
    given = {"<sha256>": sha256(content).hexdigest()}
    async with relay.engine(keeper, subprotocols=["miva.engine.v1"], greeting=json.dumps(HELLO)) as engine:
        await asyncio.to_thread(post_document, relay, token, "d.pdf", content)
        async with relay.socket(query=f"token={token}") as client:
            await Player(client, engine, given).play(lines("query"))


async def test_v1_ask(relay: World) -> None:
    async with relay.engine(silent) as engine, relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
        content = make_pdf(["Alpha", "Beta"])
        given = {"<base64>": encoded(content)}
        await Player(client, engine, given).play(lines("v1-ask"))
        await asyncio.sleep(0.3)
        assert [frame["type"] for frame in engine.asked] == ["chat"]


async def test_v1_queue_cancel(relay: World) -> None:
    async with relay.engine(silent) as engine, relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
        await until(client, "hello")
        await Player(client, engine).play(lines("v1-queue-cancel"))
        assert [frame.get("message") for frame in engine.asked] == ["first", None]


async def test_v1_untyped_engine(relay: World) -> None:
    async with relay.engine(silent) as engine, relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
        await until(client, "hello")
        await Player(client, engine).play(lines("v1-untyped-engine"))


async def test_engine_v1(relay: World) -> None:
    content = make_pdf(["Ada wrote it.", "Charles built it."])
    token = relay.token()
    script = lines("engine-v1")
    told: dict[str, Any] = {}
    async with (
        relay.engine(silent, subprotocols=["miva.engine.v1"]) as engine,
        relay.socket(dialect="miva.v1", token=token) as client,
    ):
        await until(client, "hello")

        async def ask() -> None:
            file = {"name": "d.pdf", "type": "application/pdf", "content": encoded(content)}
            await client.send(json.dumps({"type": "ask", "id": "q", "message": "Who?", "files": [file]}))

        given = {"<sha256>": sha256(content).hexdigest()}
        player = Player(client, engine, given, {script[0]["then"]: ask})
        await player.play(script[:-1])
        assert engine.connections[0].subprotocol == "miva.engine.v1"
        told["accepted"] = await until(client, "accepted")
        await until(client, "done")
        engine.greeting = json.dumps(HELLO)  # the relay comes back on a connection of its own to say this
        await asyncio.to_thread(delete_document, relay, token, told["accepted"]["documents"][0])
        await player.play(script[-1:])


def post_document(world: World, token: str, name: str, content: bytes) -> None:
    head = (
        f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/pdf\r\n\r\n"
    )
    headers = {"Authorization": f"Token {token}", "Content-Type": "multipart/form-data; boundary=x"}
    body = head.encode() + content + b"\r\n--x--\r\n"
    request = urllib.request.Request(f"{world.product.url}api/document/", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 201


def delete_document(world: World, token: str, document: str) -> None:
    headers = {"Authorization": f"Token {token}"}
    request = urllib.request.Request(f"{world.product.url}api/document/{document}/", headers=headers, method="DELETE")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 204
