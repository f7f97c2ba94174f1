"""The transcripts beside the contract, played line by line against the running product."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, answering, silent
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S, SHARED
from tests.reading.pair import pair
from tests.redis_server import RedisServer
from tests.relay.transcript import FOLDER, Player, Steps, lines
from tests.relay.world import World, until

TWO_PAGES = make_pdf(["Alpha", "Beta"])
HELLO = lines("engine-v1")[1]["frame"]
PLAYED = {
    "engine-v1",
    "plain-engine-down",
    "plain-mistakes",
    "plain-pdf",
    "query",
    "v1-ask",
    "v1-queue-cancel",
    "v1-resume",
    "v1-untyped-engine",
    "v1-upload",
}


def test_every_transcript_is_played() -> None:
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == PLAYED


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

        async def is_asked() -> None:  # a turn that is stopped before that ends without a word to the engine
            await engine.wait_for_frames(1)

        steps: Steps = {"the engine never hears of it": is_asked}
        await Player(client, engine, steps=steps).play(lines("v1-queue-cancel"))
        assert [frame.get("message") for frame in engine.asked] == ["first", None]


async def test_a_question_stopped_before_the_engine_takes_the_connection_is_never_asked(relay: World) -> None:
    may_take = asyncio.Event()

    async def hesitates(*_: Any) -> None:
        await may_take.wait()

    async with relay.engine(answering('{"type": "done"}'), process_request=hesitates) as engine:
        async with relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
            await client.send(json.dumps({"type": "ask", "id": "q", "conversation": "c", "message": "never"}))
            turn = (await until(client, "accepted"))["turn"]
            await client.send(json.dumps({"type": "cancel", "turn": turn}))
            assert (await until(client, "cancelled"))["turn"] == turn
            may_take.set()
            await client.send(json.dumps({"type": "ask", "id": "r", "conversation": "c", "message": "asked"}))
            await until(client, "done")
        assert [frame.get("message") for frame in engine.asked] == ["asked"]


async def test_v1_untyped_engine(relay: World) -> None:
    async with relay.engine(silent) as engine, relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
        await until(client, "hello")
        await Player(client, engine).play(lines("v1-untyped-engine"))


async def test_v1_resume(tmp_path: Path) -> None:
    script = lines("v1-resume")
    piece = json.dumps({"type": "stream", "content": "word "})
    with RedisServer() as redis, pair(tmp_path, redis, MIVA_LEASE_S="1") as workers:
        token, stranger = workers.here.token(), workers.here.token()
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(workers.here.engine(silent))
            other = await stack.enter_async_context(workers.there.socket(dialect="miva.v1", token=stranger))
            await other.send(json.dumps({"type": "ask", "id": "q", "conversation": "someone else's", "message": "q"}))
            await engine.wait_for_frames(1)
            first = await stack.enter_async_context(workers.here.socket(dialect="miva.v1", token=token))
            second = await stack.enter_async_context(workers.there.socket(dialect="miva.v1", token=token))
            await until(second, "hello")
            player = Player(second, engine)

            async def stands_at_40() -> None:
                await first.send(json.dumps({"type": "ask", "id": "q", "conversation": "c", "message": "Who?"}))
                await engine.wait_for_frames(2)
                known = 2
                while known < 40:  # one after the other, so that none are joined
                    await engine.connections[1].send(piece)
                    known = (await until(first, "delta"))["seq"]
                player.last_seq = 38

            async def goes_on() -> None:
                await engine.connections[1].send(piece)

            async def is_killed() -> None:
                workers.here.product.kill()
                await engine.wait_for_frames(3)
                while engine.asked[-1]["message"] != "Who?":  # the stranger's question is asked again as well
                    await engine.wait_for_frames(len(engine.frames) + 1)
                await engine.connections[-1].send(piece)
                await engine.connections[-1].send('{"type": "done"}')

            player.steps |= {
                script[0]["then"]: stands_at_40,
                script[4]["then"]: goes_on,
                script[6]["then"]: is_killed,
            }
            await player.play(script)


async def test_v1_upload(any_relay: World) -> None:
    content = make_pdf(["Alpha"] * 36 + ["Beta"], size=600_000)
    given = {"<hash>": sha256(content).hexdigest()}
    script = lines("v1-upload")
    guest = any_relay.guest()
    async with any_relay.engine(silent) as engine, AsyncExitStack() as stack:

        async def opened() -> ClientConnection:
            client = await stack.enter_async_context(any_relay.socket(dialect="miva.v1", guest=guest))
            await until(client, "hello")
            return client

        async def breaks() -> None:
            await player.client.send(content[:262_144])
            await player.client.send(content[262_144:362_144])
            while (await until(player.client, "progress"))["done"] < 362_144:
                pass
            player.client.transport.abort()
            player.client = await opened()

        async def rest() -> None:
            assert engine.frames == []
            for at in range(362_144, len(content), 100_000):
                await player.client.send(content[at : at + 100_000])

        steps: Steps = {script[3]["then"]: breaks, script[8]["then"]: rest}
        player = Player(await opened(), engine, given, steps)
        await player.play(script)
        asked = await engine.wait_for_frames(1)
        assert asked[0]["message"].startswith("early\n")
        assert "--- Page 37 ---\nBeta" in asked[0]["message"]
        await engine.connections[-1].send('{"type": "done"}')  # or it is asked again where the next engine listens
        await until(player.client, "done")


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
