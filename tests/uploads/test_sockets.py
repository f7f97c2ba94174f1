"""Files in pieces through the real socket: broken off by clients and by servers, checked, locked, too large."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.documents.test_reader import encrypted
from tests.engines import echo, silent
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S
from tests.reading.pair import pair
from tests.redis_server import RedisServer
from tests.relay.conftest import Start, start  # noqa: F401
from tests.relay.test_large import peak
from tests.relay.world import World, event, until

PAGES = [f"This is page {number}." for number in range(1, 38)]
BIG = make_pdf(PAGES, size=600_000)
PIECE = 128 * 1024


@pytest.fixture(params=["uvicorn", "daphne"])
def relay(start: Start, request: pytest.FixtureRequest) -> Iterator[World]:  # noqa: F811
    """The product under each kind of server."""
    world = start(request.param, "usual")
    yield world
    world.assert_calm()


@pytest.fixture
async def client(relay: World) -> AsyncIterator[ClientConnection]:
    """The socket of a guest's page."""
    async with relay.socket(dialect="miva.v1", guest=relay.guest()) as connection:
        await until(connection, "hello")
        yield connection


def upload(data: bytes, id: str = "u1", **more: Any) -> str:
    """The frame that announces this file."""
    facts = {"name": "big.pdf", "media_type": "application/pdf", "size": len(data)}
    return json.dumps({"type": "upload", "id": id, "sha256": hashlib.sha256(data).hexdigest()} | facts | more)


async def offset(client: ClientConnection, data: bytes, id: str = "u1", **more: Any) -> int:
    """Begins an upload, or goes on with it; how many bytes the server has."""
    await client.send(upload(data, id, **more))
    return await received(client, id)


async def received(client: ClientConnection, id: str = "u1") -> int:
    """How many bytes of an upload the server has, as it tells next."""
    while (found := await until(client, "progress"))["stage"] != "upload" or found["id"] != id:
        pass
    return int(found["done"])


async def pieces(client: ClientConnection, data: bytes) -> None:
    """Sends these bytes as the page does."""
    for at in range(0, len(data), PIECE):
        await client.send(data[at : at + PIECE])


async def ended(client: ClientConnection, id: str = "u1") -> Any:
    """The document of an upload once it is ready or has failed."""
    async with asyncio.timeout(4 * PATIENCE_S):
        while True:
            found = await event(client, 4 * PATIENCE_S)
            if found["type"] == "document" and found["id"] == id and found["document"]["status"] in ("ready", "failed"):
                return found["document"]


async def refused(client: ClientConnection) -> Any:
    """The next error; all before it is passed over."""
    while True:
        found = await event(client)
        if found["type"] == "error":
            return found


async def test_a_file_in_two_connections_and_a_question_that_waits_for_it(relay: World) -> None:
    guest = relay.guest()
    async with relay.engine(echo) as engine:
        async with relay.socket(dialect="miva.v1", guest=guest) as first:
            await until(first, "hello")
            assert await offset(first, BIG) == 0
            await pieces(first, BIG[:362_144])
            while await received(first) < 262_144:
                pass
        async with relay.socket(dialect="miva.v1", guest=guest) as second:
            await until(second, "hello")
            done = await offset(second, BIG)
            assert 262_144 <= done <= 362_144
            document = relay.rows("SELECT id FROM miva_document WHERE upload_id = 'u1' ORDER BY created_at DESC")[0][0]
            question = {"type": "ask", "id": "q", "conversation": "c", "message": "early", "documents": [document]}
            await second.send(json.dumps(question))
            accepted = await until(second, "accepted")
            assert (accepted["position"], accepted["seq"]) == (0, 1)
            await asyncio.sleep(1.5)
            assert engine.frames == []
            await pieces(second, BIG[done:])
            found = await ended(second)
            assert (found["status"], found["pages"], found["name"]) == ("ready", 37, "big.pdf")
            assert found["sha256"] == hashlib.sha256(BIG).hexdigest()
            done_frame = await until(second, "done")
            assert "This is page 37." in done_frame["text"]


@pytest.mark.parametrize("server", ["uvicorn", "serve", "daphne"])
async def test_fifty_megabytes_pass_through_little_memory(start: Start, server: str) -> None:  # noqa: F811
    relay = start(server, "usual")
    data = make_pdf(["the first", "the last"], size=50_000_000)
    assert relay.product.process is not None
    async with relay.socket(dialect="miva.v1", guest=relay.guest()) as client:
        await until(client, "hello")
        await client.send(upload(make_pdf(["warm"]), "warm"))
        await pieces(client, make_pdf(["warm"]))
        await ended(client, "warm")
        Path(f"/proc/{relay.product.process.pid}/clear_refs").write_text("5")  # the peak counts from here (proc(5))
        before = peak(relay.product.process.pid)
        assert await offset(client, data) == 0
        sending = asyncio.create_task(pieces(client, data))  # as fast as the connection takes them
        seen = [0]
        while seen[-1] < len(data):
            seen.append(await received(client))
        await sending
        assert seen == sorted(seen)
        assert len(seen) > 2
        assert (await ended(client))["pages"] == 2
        after = peak(relay.product.process.pid)
    print(f"50 MB: peak of the server {before:.1f} → {after:.1f} MB")
    assert after - before < 16
    relay.assert_calm()


async def test_wrong_bytes_too_many_and_too_large(relay: World, client: ClientConnection) -> None:
    assert await offset(client, BIG) == 0
    await pieces(client, BIG[:-1] + b"x")
    error = await refused(client)
    assert (error["code"], error["field"], error["id"]) == ("bad_field", "sha256", "u1")
    assert await offset(client, BIG) == 0
    await pieces(client, BIG + b"x")
    error = await refused(client)
    assert (error["code"], error["field"], error["id"]) == ("bad_field", "size", "u1")
    await client.send(upload(BIG, "u2", size=2**40))
    error = await refused(client)
    assert (error["code"], error["id"]) == ("file_too_large", "u2")
    await client.send(b"of what?")
    assert await offset(client, BIG) == 0
    await pieces(client, BIG)
    assert (await ended(client))["status"] == "ready"


def long_pdf(first: str) -> bytes:
    """A file that takes a while to read."""
    return make_pdf([first] + [f"page {number}\n" + "many words " * 90 for number in range(1, 4000)])


async def until_reading(client: ClientConnection, data: bytes, id: str, begun: int = 0) -> str:
    """Sends what is missing of a long file; its document's id, when the reading is under way."""
    assert await offset(client, data, id) == begun
    await pieces(client, data[begun:])
    while (found := await until(client, "progress"))["stage"] != "extract" or not found["done"]:
        pass
    assert found["done"] < found["total"]
    return str(found["document"])


async def test_a_server_that_is_killed_goes_on_from_what_it_had(tmp_path: Path) -> None:
    world = World(tmp_path, "uvicorn", MIVA_LEASE_S="1").start()
    try:
        guest = world.guest()
        async with world.socket(dialect="miva.v1", guest=guest) as client:
            await until(client, "hello")
            assert await offset(client, BIG) == 0
            await pieces(client, BIG[:300_000])
            while await received(client) < 262_144:
                pass
            world.product.kill()
        world.start()
        async with world.socket(dialect="miva.v1", guest=guest) as client:
            await until(client, "hello")
            done = await offset(client, BIG)
            assert 262_144 <= done <= 300_000
            await pieces(client, BIG[done:])
            assert (await ended(client))["pages"] == 37
            await until_reading(client, long_pdf("one"), "long")
            world.product.kill()
        world.start()  # nobody comes back
        async with asyncio.timeout(4 * PATIENCE_S):
            states = "SELECT status, pages FROM miva_document WHERE upload_id = 'long'"
            while (rows := world.rows(states))[0][0] != "ready":
                assert rows[0][0] in ("reading", "indexing")
                await asyncio.sleep(0.2)
        assert rows == [("ready", 4000)]
        world.assert_calm()
    finally:
        world.product.kill()
        world.stop()


async def test_a_file_begun_at_one_worker_goes_on_at_another_and_is_read_by_the_one_that_is_left(
    tmp_path: Path,
) -> None:
    data = long_pdf("told to end")
    with RedisServer() as redis, pair(tmp_path, redis, MIVA_LEASE_S="1") as workers:
        token = workers.here.token()
        async with workers.here.engine(echo) as engine:
            async with workers.there.socket(dialect="miva.v1", token=token) as client:
                await until(client, "hello")
                assert await offset(client, data, "u1") == 0
                await pieces(client, data[:PIECE])
                assert await received(client) == PIECE
            await ask_while_it_is_read(workers.here, token, data, "u1", PIECE)
            await asyncio.to_thread(workers.here.product.stop)
            assert "told to end" in await answer(workers.there, token, "u1")
            workers.here.start()
            await ask_while_it_is_read(workers.here, token, long_pdf("killed"), "u2")
            workers.here.product.kill()
            assert "killed" in await answer(workers.there, token, "u2")
        # A worker that stalls for all of its short lease is taken over from, and the engine asked once more.
        asked = [frame["message"].partition("\n\n--- File Content: big.pdf ---") for frame in engine.asked]
        assert {question for question, *_ in asked} == {"Q u1", "Q u2"}
        assert all(file for _, _, file in asked)


async def ask_while_it_is_read(worker: World, token: str, data: bytes, id: str, begun: int = 0) -> None:
    """Asks about a long file as soon as the worker reads it; both go by `id`."""
    async with worker.socket(dialect="miva.v1", token=token) as client:
        await until(client, "hello")
        document = await until_reading(client, data, id, begun)
        question = {"type": "ask", "id": id, "conversation": id, "message": f"Q {id}", "documents": [document]}
        await client.send(json.dumps(question))
        await until(client, "accepted")


async def answer(worker: World, token: str, conversation: str) -> str:
    """The answer to the first question of a conversation."""
    async with worker.socket(dialect="miva.v1", token=token) as client:
        await until(client, "hello")
        await client.send(json.dumps({"type": "resume", "conversation": conversation, "after": 0}))
        done = await until(client, "done", 4 * PATIENCE_S)
        assert "page 3999" in done["text"]
        return str(done["text"])


async def test_two_sockets_with_the_same_upload_and_the_newer_sends(relay: World) -> None:
    guest = relay.guest()
    async with (
        relay.socket(dialect="miva.v1", guest=guest) as older,
        relay.socket(dialect="miva.v1", guest=guest) as newer,
    ):
        await until(older, "hello")
        await until(newer, "hello")
        assert await offset(older, BIG) == 0
        await pieces(older, BIG[:PIECE])
        assert await received(older) == PIECE
        done = await offset(newer, BIG)
        assert done == PIECE
        await older.send(b"late" * 100)
        error = await refused(older)
        assert (error["code"], error["id"]) == ("busy", "u1")
        await older.send(b"later" * 100)  # was on its way
        await pieces(newer, BIG[done:])
        assert (await ended(newer))["status"] == "ready"
        assert (await ended(older))["status"] == "ready"
        assert await offset(older, BIG) == len(BIG)


async def test_a_locked_file_then_its_password_alone(relay: World, client: ClientConnection) -> None:
    locked = encrypted("secret", "right", "owner")
    assert await offset(client, locked) == 0
    await pieces(client, locked)
    document = await ended(client)
    assert (document["status"], document["error"]) == ("failed", "encrypted_pdf")
    assert await offset(client, locked, password="wrong") == len(locked)
    assert (await ended(client))["error"] == "encrypted_pdf"
    await client.send(upload(locked, password="right"))
    found = await ended(client)
    assert (found["id"], found["status"], found["pages"]) == (document["id"], "ready", 1)
    async with relay.engine(echo):
        question = {"type": "ask", "id": "q", "message": "What?", "documents": [found["id"]]}
        await client.send(json.dumps(question))
        assert "secret" in (await until(client, "done"))["text"]


async def test_what_is_wrong_with_a_file_is_its_documents_state(relay: World, client: ClientConnection) -> None:
    for id, data, code in (("u1", b"no PDF" * 10, "not_a_pdf"), ("u2", b"%PDF-1.4 nothing", "broken_pdf")):
        assert await offset(client, data, id) == 0
        await pieces(client, data)
        document = await ended(client, id)
        assert (document["status"], document["error"]) == ("failed", code)
    async with relay.engine(silent) as engine:
        question = {"type": "ask", "id": "q", "message": "What?", "documents": [document["id"]]}
        await client.send(json.dumps(question))
        assert (await refused(client))["code"] == "broken_pdf"
        assert engine.frames == []


async def test_a_text_and_a_name_in_any_language(relay: World, client: ClientConnection) -> None:
    data = "Ада написала это.".encode()
    assert await offset(client, data, name="заметка.txt", media_type="text/plain", sha256=None) == 0
    await pieces(client, data)
    document = await ended(client)
    assert (document["status"], document["name"]) == ("ready", "заметка.txt")


@pytest.mark.parametrize("media_type", ["\ud800", "text/plain\0", "x" * 200])
async def test_a_strange_media_type_harms_nothing(relay: World, client: ClientConnection, media_type: str) -> None:
    data = b"It is Alpha."
    assert await offset(client, data, name="a.txt", media_type=media_type, sha256=None) == 0
    await pieces(client, data)
    assert (await ended(client)).get("error", "") in ("", "unsupported_type")
    [(longest,)] = relay.rows("SELECT max(length(media_type)) FROM miva_document")
    assert longest <= 100
