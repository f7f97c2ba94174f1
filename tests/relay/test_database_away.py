"""A database that cannot be read for a moment: its clients are told to wait, as over HTTP, or notice nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest
from websockets.exceptions import InvalidStatus

from tests.engines import answering
from tests.relay.world import World, event, question, until

AWAY = "The database cannot be reached. Please try again in a moment."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server whose database nobody else needs."""
    world = World(tmp_path_factory.mktemp("away"), "uvicorn").start()
    yield world
    world.stop()


@asynccontextmanager
async def without(world: World, table: str) -> AsyncIterator[None]:
    """What is asked of this table fails as it does in a database that is away."""

    def rename(one: str, other: str) -> None:
        with closing(sqlite3.connect(world.product.data / "miva.sqlite3", timeout=30)) as database:
            database.execute(f"ALTER TABLE {one} RENAME TO {other}")

    await asyncio.to_thread(rename, table, "not_here")
    try:
        yield
    finally:
        await asyncio.to_thread(rename, "not_here", table)


async def test_a_question_that_cannot_be_stored_is_told_that_the_server_is_busy(world: World) -> None:
    async with (
        world.engine(answering('{"type": "done", "response": "well"}')),
        world.socket(token=world.token(), dialect="miva.v1") as client,
        world.socket(token=world.token(), dialect="miva.plain") as plain,
    ):
        await until(client, "hello")
        async with without(world, "miva_conversation"):
            await client.send('{"type": "ask", "id": "q", "conversation": "c", "message": "Well?"}')
            found = await event(client)
            assert found == {"type": "error", "code": "busy", "message": AWAY, "id": "q"}
            await plain.send(question("Well?", "a new one"))
            assert await event(plain) == {"error": AWAY, "code": "busy"}
        await client.send('{"type": "ask", "id": "q", "conversation": "c", "message": "Well?"}')
        assert (await until(client, "done"))["text"] == "well"
    world.assert_calm()


async def test_who_goes_on_reading_notices_nothing(world: World) -> None:
    token = world.token()
    async with world.engine(answering('{"type": "done", "response": "well"}')):
        async with world.socket(token=token, dialect="miva.v1") as client:
            await client.send('{"type": "ask", "id": "q", "conversation": "c", "message": "Well?"}')
            await until(client, "done")
        async with world.socket(token=token, dialect="miva.v1") as client:
            await until(client, "hello")
            async with without(world, "miva_conversation"):
                await client.send(json.dumps({"type": "resume", "conversation": "c", "after": 0}))
                await asyncio.sleep(1)
            assert (await until(client, "done"))["text"] == "well"
    world.assert_calm()


async def test_a_handshake_is_refused_for_the_moment(world: World) -> None:
    token = world.token()
    async with without(world, "authtoken_token"):
        with pytest.raises(InvalidStatus) as caught:
            await world.socket(token=token, dialect="miva.v1")
        assert caught.value.response.status_code == 503
    async with world.socket(token=token, dialect="miva.v1") as client:
        await until(client, "hello")
    world.assert_calm()
