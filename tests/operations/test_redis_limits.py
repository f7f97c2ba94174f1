"""Limits that two processes share over Redis, also when it goes; and sockets that nobody uses for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.operations.pair import two_servers, upload_text
from tests.operations.talk import ask_plainly, eventually, open_socket
from tests.operations.test_redis import Pair, hears
from tests.product import Product
from tests.redis_server import RedisServer

QUESTIONS, SOCKETS = 5, 4
IDLE_S = 92.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    limits = {"MIVA_RATE": f"{QUESTIONS}/h", "MIVA_SOCKETS": str(SOCKETS)}
    folder = tmp_path_factory.mktemp("limits")
    with RedisServer() as server, two_servers(folder, server, **limits) as (here, there):
        yield Pair(here, there, server, (200, None))


@pytest.mark.slow
async def test_sockets_that_are_idle_for_ninety_seconds_stay_and_still_hear(pair: Pair) -> None:
    """redis-py 8 ends a read after as long as the layer's own wait for messages; the listener would die every time."""
    async with open_socket(pair.here.socket_url) as plain, open_socket(pair.there.socket_url, "miva.v1") as numbered:
        await asyncio.sleep(IDLE_S)
        document = await asyncio.to_thread(upload_text, pair.here, "A note on lighthouses.")
        assert await hears(numbered, document), "the first news after the silence must arrive"
        assert "message" in await ask_plainly(plain, "Still there?")
    assert "channel layer" not in pair.here.log()


async def test_sockets_are_counted_over_both_processes(pair: Pair) -> None:
    await all_are_given_back(pair)  # those of the test above
    async with AsyncExitStack() as stack:
        for number in range(SOCKETS):
            product = pair.here if number % 2 else pair.there
            socket = await stack.enter_async_context(open_socket(product.socket_url, "miva.v1"))
            assert json.loads(await socket.recv())["type"] == "hello"
        assert await close_code(pair.here) == 4429
        assert await close_code(pair.there) == 4429
    await all_are_given_back(pair)
    async with open_socket(pair.here.socket_url, "miva.v1") as again:
        assert json.loads(await again.recv())["type"] == "hello"


async def all_are_given_back(pair: Pair) -> None:
    """Waits until no socket counts: a place is given back a moment after its socket is closed."""
    with pair.redis.client() as client:
        await eventually(lambda: not list(client.scan_iter("miva:sockets:*")))


async def close_code(product: Product) -> int | None:
    """The code with which the server closes a socket before it says anything."""
    async with open_socket(product.socket_url, "miva.v1") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)
        return closed.value.rcvd.code if closed.value.rcvd else None


async def test_questions_are_counted_over_both_processes_and_by_each_alone_while_redis_is_away(pair: Pair) -> None:
    with pair.redis.client() as client:
        asked = sum(client.zcard(key) for key in client.scan_iter("miva:rate:*"))  # by the tests above
    async with open_socket(pair.here.socket_url) as here, open_socket(pair.there.socket_url) as there:
        for number in range(QUESTIONS - asked):
            assert "message" in await ask_plainly(there if number % 2 else here, "May I?")
        for socket in (here, there, here, there):
            refused = await ask_plainly(socket, "One more?")
            assert refused["code"] == "rate_limited", "over both processes it is one too many"
        pair.redis.kill()
        left = [await ask_plainly(there, "Alone now?") for _ in range(QUESTIONS + 1)]
        answered = ["message" in answer for answer in left]
        assert answered[0], "this process has answered fewer than it may"
        assert left[-1]["code"] == "rate_limited", "but it still counts for itself"
