"""An engine that shakes hands and then reads nothing: questions end within the limits, and nothing stays behind."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.engines import answering, echo
from tests.product import PATIENCE_S
from tests.relay.asker import Asker
from tests.relay.conftest import Start
from tests.relay.world import World, event, file, question, until

# More than the buffers of a connection hold, in two files because one may have five million characters.
FILES = [file(b"pears " * 750_000, f"{name}.txt", "text/plain") for name in "ab"]


@asynccontextmanager
async def deaf_engine(port: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Answers handshakes; gives the connections that it has had."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line for line in head.splitlines() if line.lower().startswith("sec-websocket-key")).split()[1]
        accept = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that little fits in
    listening.bind(("127.0.0.1", port))
    server = await asyncio.start_server(serve, sock=listening)
    try:
        yield connections
    finally:
        server.close()
        for writer in connections:
            writer.transport.abort()


@pytest.fixture
def crowded(start: Start) -> World:
    """The product with little patience and two places for each person."""
    return start("uvicorn", "crowded")


async def test_a_large_plain_question_to_an_engine_that_does_not_read_times_out(crowded: World) -> None:
    async with Asker(crowded, "plain") as asker:
        async with deaf_engine(crowded.engine_port):
            await asker.client.send(question("q", None, files=FILES))
            assert (await event(asker.client))["code"] == "engine_timeout"
        async with crowded.engine(echo):
            assert await asker.ask("well") == "well"
    crowded.assert_calm()


async def test_a_large_v1_question_to_an_engine_that_does_not_read_times_out(crowded: World) -> None:
    async with Asker(crowded, "v1") as asker:
        async with deaf_engine(crowded.engine_port):
            ask = {"type": "ask", "id": "large", "conversation": "c", "message": "q", "files": FILES}
            await asker.client.send(json.dumps(ask))
            assert await asker.end() == "engine_timeout"
        async with crowded.engine(answering('{"type": "done", "response": "well"}')):
            assert await asker.ask("and now?") == "well"
    crowded.assert_calm()


async def test_a_cancelled_question_to_an_engine_that_does_not_read_ends_too(crowded: World) -> None:
    async with Asker(crowded, "v1") as asker:
        async with deaf_engine(crowded.engine_port) as connections:
            ask = {"type": "ask", "id": "large", "conversation": "c", "message": "q", "files": FILES}
            await asker.client.send(json.dumps(ask))
            turn = (await until(asker.client, "accepted"))["turn"]
            async with asyncio.timeout(PATIENCE_S):
                while not connections:
                    await asyncio.sleep(0.02)
            await asker.client.send(json.dumps({"type": "cancel", "turn": turn}))
            assert (await until(asker.client, "cancelled"))["turn"] == turn
        async with crowded.engine(answering('{"type": "done", "response": "well"}')):
            assert await asker.ask("and now?") == "well"
    crowded.assert_calm()


async def let_in(world: World, token: str) -> ClientConnection:
    """A socket that has its place; until there is one free, others are closed with 4429."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            client = await world.socket(token=token, dialect="miva.plain")
            try:
                await client.send("{}")
                assert (await event(client))["code"] == "bad_field"
                return client
            except ConnectionClosed:
                assert client.close_code == 4429
                await asyncio.sleep(0.2)


async def test_who_leaves_a_question_behind_that_nobody_reads_gets_their_place_again(crowded: World) -> None:
    """Two places: with any that stayed taken, the third round would find none."""
    token = crowded.token()
    async with deaf_engine(crowded.engine_port) as connections:
        for number in range(4):
            client = await let_in(crowded, token)
            await client.send(question("q", None, files=FILES))
            async with asyncio.timeout(PATIENCE_S):
                while len(connections) <= number:
                    await asyncio.sleep(0.02)
            await client.close()
    crowded.assert_calm()
