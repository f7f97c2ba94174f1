"""A reader on another worker sees every event, whatever becomes of the Redis between the two."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine
from tests.operations.talk import eventually
from tests.postgres_server import PostgresServer
from tests.reading import streams
from tests.reading.pair import Pair, pair
from tests.reading.talk import engine, numbers, piece, question, resume, say, tab, whole_answer
from tests.redis_server import RedisServer
from tests.relay.world import event

PIECES, PAUSE_S = 200, 0.01
Trouble = Callable[[RedisServer], Awaitable[None]]


async def numbered(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
    """An answer of numbered pieces that takes some seconds."""
    if json.loads(frame)["type"] == "chat":
        for number in range(PIECES):
            await connection.send(piece(f"{number} "))
            await asyncio.sleep(PAUSE_S)
        await connection.send('{"type": "done"}')


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two workers on SQLite and one Redis."""
    with RedisServer() as redis, pair(tmp_path_factory.mktemp("pair"), redis) as both:
        yield both


WHOLE = "".join(f"{number} " for number in range(PIECES))


async def follow_everywhere(workers: Pair, trouble: Trouble | None = None) -> None:
    """One asks here; a tab there, a stream there and a tab here read along, and all of them see the same."""
    guest = workers.here.guest()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine(workers.here, numbered))
        asking = await stack.enter_async_context(tab(workers.here, guest))
        worlds = (workers.here, workers.there)
        readers = [await stack.enter_async_context(tab(world, guest)) for world in worlds]
        await say(asking, question())
        first = [await event(asking)]
        for reader in readers:
            await say(reader, resume(0))
        async with streams.events(workers.there.product, "c", Cookie=f"sessionid={guest}") as stream:
            tasks = [asyncio.create_task(whole_answer(reader)) for reader in (asking, *readers)]
            tasks.append(asyncio.create_task(stream.until("done")))
            if trouble is not None:
                await asyncio.sleep(PIECES * PAUSE_S / 4)
                assert workers.redis is not None
                await trouble(workers.redis)
            seen = await asyncio.gather(*tasks)
        seen[0] = first + seen[0]
        assert numbers(seen[0]) == list(range(1, len(seen[0]) + 1))
        assert "".join(found.get("text", "") for found in seen[0] if found["type"] == "delta") == WHOLE
        assert seen[0][-1]["text"] == WHOLE
        assert seen[1:] == [seen[0]] * (len(readers) + 1)


async def emptied(redis: RedisServer) -> None:
    """Everything in it is gone: who listens to what, and what was on its way."""
    for _ in range(5):
        with redis.client() as client:
            client.flushall()
        await asyncio.sleep(0.1)


async def killed(redis: RedisServer) -> None:
    await asyncio.to_thread(redis.kill)


async def killed_and_back(redis: RedisServer) -> None:
    await asyncio.to_thread(redis.kill)
    await asyncio.sleep(1)
    await asyncio.to_thread(redis.start)


async def hangs(redis: RedisServer) -> None:
    redis.pause()
    await asyncio.sleep(2)
    redis.go_on()


async def test_every_reader_of_both_workers_sees_the_same(workers: Pair) -> None:
    await follow_everywhere(workers)


@pytest.mark.parametrize("trouble", [emptied, killed, killed_and_back, hangs], ids=lambda value: value.__name__)
async def test_what_the_layer_loses_is_read_from_the_log(workers: Pair, trouble: Trouble) -> None:
    try:
        await follow_everywhere(workers, trouble)
    finally:
        if trouble is killed:
            assert workers.redis is not None
            await asyncio.to_thread(workers.redis.start)


async def test_the_layer_really_loses_news_when_redis_is_emptied(workers: Pair) -> None:
    """The trap itself: with no poll to find it, a reader there would never hear of what is said then."""
    guest = workers.here.guest()
    async with engine(workers.here), tab(workers.here, guest) as here, tab(workers.there, guest) as there:
        await say(here, question())
        seen = await whole_answer(here)
        await say(there, resume(len(seen)))

        def memberships(client: Any) -> list[Any]:
            return [key for key in client.scan_iter() if ":group:" in key]

        assert workers.redis is not None
        with workers.redis.client() as client:
            await eventually(lambda: memberships(client))
            client.flushall()
            assert not memberships(client)
        await say(here, question())
        assert await whole_answer(there) == await whole_answer(here)


async def test_the_same_on_postgresql_and_without_a_redis(tmp_path: Path) -> None:
    with PostgresServer() as server, pair(tmp_path, None, DATABASE_URL=server.new_database()) as workers:
        await follow_everywhere(workers)
