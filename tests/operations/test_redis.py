"""Sockets outlive a Redis that is down, slow, emptied or started again, and news flows between processes after it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.operations.pair import Browser, two_servers, upload_text
from tests.operations.talk import ask_numbered, ask_plainly, call, eventually, open_socket
from tests.processes import free_port
from tests.product import PATIENCE_S, Product
from tests.redis_server import RedisServer


@dataclass
class Pair:
    """Two servers that were started while Redis was down, and what they said then."""

    here: Product
    there: Product
    redis: RedisServer
    health_without_redis: tuple[int, Any]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    server = RedisServer(port=free_port())
    with two_servers(tmp_path_factory.mktemp("pair"), server) as (here, there):
        health = call(here.url + "api/health/")
        with server:
            yield Pair(here, there, server, health)


async def hears(socket: ClientConnection, document: str) -> bool:
    """Whether a miva.v1 socket is told that a document is ready."""
    try:
        async with asyncio.timeout(1):
            async for frame in socket:
                told = json.loads(frame)
                if told["type"] == "document" and told["document"]["id"] == document:
                    return True
    except TimeoutError:
        pass
    return False


async def until_news_flows(socket: ClientConnection, product: Product) -> None:
    """Uploads at one server until a socket of the other hears of it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    number = 0
    while True:
        number += 1
        document = await asyncio.to_thread(upload_text, product, f"A note, number {number}, on lighthouses.")
        if await hears(socket, document):
            return
        assert asyncio.get_running_loop().time() < deadline, "no news came from the other process"


async def test_servers_that_start_before_redis_serve_and_find_it_when_it_comes(pair: Pair) -> None:
    status, health = pair.health_without_redis
    assert (status, health["redis"]) == (503, "down")
    async with open_socket(pair.there.socket_url, "miva.v1") as socket:
        await until_news_flows(socket, pair.here)
    assert (await eventually(lambda: call(pair.here.url + "api/health/")[1]))["redis"] == "connected"


async def test_signing_out_at_one_process_closes_the_persons_socket_at_the_other(pair: Pair) -> None:
    async with open_socket(pair.there.socket_url, "miva.v1") as listening:
        await until_news_flows(listening, pair.here)
    alice = Browser()
    await asyncio.to_thread(alice.sign_up_and_in, pair.here, "alice")
    async with open_socket(pair.there.socket_url, "miva.v1", **alice.socket_options(pair.there)) as socket:
        hello = json.loads(await socket.recv())
        assert hello["user"] == {"name": "alice", "guest": False}
        await asyncio.sleep(1)  # the membership of a new socket's group is under way
        await asyncio.to_thread(alice.sign_out, pair.here)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(PATIENCE_S / 2):  # long before the minute after which logins are looked up again
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_fifty_sockets_of_a_process_share_one_listener(pair: Pair) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(open_socket(pair.there.socket_url, "miva.v1")) for _ in range(50)]
        await until_news_flows(sockets[-1], pair.here)
        assert len(pair.redis.connections()) < 20
        with pair.redis.client() as client:
            groups = [key for key in client.scan_iter() if ":group:" in key]
            assert groups
            assert [key for key in groups if not re.fullmatch(r"[a-zA-Z0-9:._-]{1,99}", key)] == []
            assert max(client.zcard(key) for key in groups) <= 2, "a group has a member for each process"
            assert min(client.ttl(key) for key in groups) > 3600


@pytest.mark.parametrize("trouble", ["killed", "paused"])
async def test_questions_are_answered_and_no_socket_closes_while_redis_is(trouble: str, pair: Pair) -> None:
    async with (
        open_socket(pair.here.socket_url) as plain,
        open_socket(pair.here.socket_url, "miva.v1") as numbered,
        open_socket(pair.there.socket_url, "miva.v1") as listening,
    ):
        await until_news_flows(listening, pair.here)
        (pair.redis.kill if trouble == "killed" else pair.redis.pause)()
        try:
            for number in range(3):
                assert "message" in await ask_plainly(plain, f"Question {number}?")
                assert (await ask_numbered(numbered, f"Question {number}?"))[-1]["type"] == "done"
            status, health = await asyncio.to_thread(call, pair.here.url + "api/health/")
            assert (status, health["redis"]) == (503, "down")
            async with open_socket(pair.here.socket_url) as late:
                assert "message" in await ask_plainly(late, "May I come in now?")
        finally:
            if trouble == "killed":
                await asyncio.to_thread(pair.redis.start)
            else:
                pair.redis.go_on()
        await until_news_flows(listening, pair.here)
        assert "message" in await ask_plainly(plain, "Still there?")
        assert (await ask_numbered(numbered, "Still there?"))[-1]["type"] == "done"
