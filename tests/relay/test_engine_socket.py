"""The socket to an engine: order, bounds and ends, against real servers."""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from picows import WSCloseCode
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from miva import engine_socket, engine_unix_socket
from miva.bounded_reads import MOST_READ
from miva.engine_socket import MOST_WAITING, EngineSocket, SocketEnded, connect

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def connected(handler: Handler, most: int = 1_000_000) -> AsyncIterator[EngineSocket]:
    """A socket to a server that does with it what `handler` says."""
    async with serve(handler, "127.0.0.1", 0, compression=None, max_size=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = await connect(f"ws://127.0.0.1:{port}/", most=most, within_s=10, ping_timeout_s=60)
        try:
            yield link
        finally:
            await link.close()


async def rest_of(link: EngineSocket) -> tuple[list[str], SocketEnded]:
    """All messages until the end, and the end."""
    messages: list[str] = []
    async with asyncio.timeout(30):
        while True:
            try:
                messages += await link.receive_all()
            except SocketEnded as end:
                return messages, end


async def test_messages_come_in_order_one_by_one_and_together() -> None:
    async def counts(connection: ServerConnection) -> None:
        for number in range(500):
            await connection.send(f"{number} ü")

    async with connected(counts) as link:
        first = [await link.receive() for _ in range(3)]
        rest, end = await rest_of(link)
    assert first + rest == [f"{number} ü" for number in range(500)]
    assert end.clean
    assert end.said is None


async def test_a_message_in_several_frames_is_one_message() -> None:
    async def in_pieces(connection: ServerConnection) -> None:
        await connection.send(["a", "ü", "", "c"])
        await connection.send("whole")

    async with connected(in_pieces) as link:
        messages, _ = await rest_of(link)
    assert messages == ["aüc", "whole"]


async def test_an_engine_that_is_not_read_is_held_up_and_loses_nothing() -> None:
    sent = 0

    async def floods(connection: ServerConnection) -> None:
        nonlocal sent
        for number in range(400):
            await connection.send(f"{number:09d}" + "x" * 100_000)
            sent += 1

    async with connected(floods) as link:
        await link.receive()
        held_up_at = -1
        while sent != held_up_at:
            held_up_at = sent
            await asyncio.sleep(1)
        # What waits here is bounded by MOST_WAITING and a message; the rest fills both sides' kernel buffers.
        assert len(link._frames) * 100_000 <= MOST_WAITING + 200_000
        assert held_up_at < 400
        rest, _ = await rest_of(link)
    assert [int(message[:9]) for message in rest] == list(range(1, 400))


async def test_no_more_than_a_bounded_piece_is_read_ahead_of_a_pause() -> None:
    async def floods(connection: ServerConnection) -> None:
        for number in range(20_000):
            await connection.send(f"{number:09d}" + "x" * 991)

    read = []
    async with connected(floods) as link:
        count = 0
        while count < 20_000:
            messages = await link.receive_all()
            assert [int(message[:9]) for message in messages] == list(range(count, count + len(messages)))
            count += len(messages)
            read.append(sum(map(len, messages)))
            await asyncio.sleep(0)
    assert max(read) <= MOST_WAITING + MOST_READ + 1_000


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (lambda connection: connection.send(b"binary"), WSCloseCode.UNSUPPORTED_DATA),
        (lambda connection: connection.send("x" * 2000), WSCloseCode.MESSAGE_TOO_BIG),
        (lambda connection: connection.send(["x" * 800] * 3), WSCloseCode.MESSAGE_TOO_BIG),
        (lambda connection: connection.send(b"\xff", text=True), WSCloseCode.INVALID_TEXT),
        (lambda connection: connection.send([b"\xc3", b"("], text=True), WSCloseCode.INVALID_TEXT),
    ],
    ids=["binary", "too large", "too large in pieces", "not UTF-8", "not UTF-8 in pieces"],
)
async def test_a_broken_rule_ends_the_connection_after_what_came_before(
    last: Callable[[ServerConnection], Awaitable[None]], code: WSCloseCode
) -> None:
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def breaks_a_rule(connection: ServerConnection) -> None:
        await connection.send("before")
        await last(connection)
        await connection.wait_closed()
        told.set_result(connection.close_code)

    async with connected(breaks_a_rule, most=1000) as link:
        messages, end = await rest_of(link)
        assert messages == ["before"]
        assert end.said == code
        assert await asyncio.wait_for(told, 10) == code.value


async def test_a_connection_that_is_cut_did_not_end_cleanly() -> None:
    async def cuts(connection: ServerConnection) -> None:
        await connection.send("before")
        await asyncio.sleep(0.1)
        connection.transport.abort()

    async with connected(cuts) as link:
        messages, end = await rest_of(link)
        with pytest.raises(SocketEnded):
            await link.send("after", within_s=1)
    assert messages == ["before"]
    assert not end.clean


async def test_a_silent_connection_is_pinged_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_socket, "PING_S", 0.05)
    deaf = asyncio.Event()

    async def goes_deaf(connection: ServerConnection) -> None:
        await asyncio.sleep(0.5)
        connection.transport.pause_reading()
        deaf.set()
        await connection.wait_closed()

    async with serve(goes_deaf, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = await connect(f"ws://127.0.0.1:{port}/", most=1000, within_s=10, ping_timeout_s=0.3)
        ended = asyncio.create_task(rest_of(link))
        await deaf.wait()
        messages, end = await asyncio.wait_for(ended, 10)
    assert messages == []
    assert not end.clean


async def test_a_redirect_is_not_followed_and_a_refusal_is_an_error() -> None:
    async def answers(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/moved":
            return Response(302, "Found", Headers({"Location": "/", "Content-Length": "0"}))
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n") if request.path == "/no" else None

    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0, process_request=answers) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        for path in ("moved", "no"):
            with pytest.raises(OSError, match=r"30|40"):
                await connect(f"ws://127.0.0.1:{port}/{path}", most=1000, within_s=10, ping_timeout_s=60)


async def test_a_server_that_says_nothing_to_the_handshake_is_given_up() -> None:
    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError):
            await connect(f"ws://127.0.0.1:{port}/", most=1000, within_s=0.3, ping_timeout_s=60)


async def test_a_server_that_hangs_up_in_the_handshake_is_an_error() -> None:
    async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError):
            await connect(f"ws://127.0.0.1:{port}/", most=1000, within_s=5, ping_timeout_s=60)


async def test_an_engine_behind_a_proxy_is_reached_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def counts(connection: ServerConnection) -> None:
        for number in range(500):
            await connection.send(f"{number}" + "x" * 1_000)

    async with serve(counts, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            link = await connect("ws://engine.invalid:81/", most=1_000_000, within_s=10, ping_timeout_s=60)
            messages, _ = await rest_of(link)
            await link.close()
    assert asked == [b"CONNECT engine.invalid:81 HTTP/1.1"]
    assert messages == [f"{number}" + "x" * 1_000 for number in range(500)]


async def test_a_unix_socket_and_a_subprotocol(tmp_path: Path) -> None:
    async def greets(connection: ServerConnection) -> None:
        await connection.send(str(connection.subprotocol))
        await connection.send(await connection.recv())

    path = tmp_path / "engine.sock"
    async with unix_serve(greets, str(path), subprotocols=[Subprotocol("a.b")]):
        link = await engine_unix_socket.connect(path, subprotocol="a.b", most=1000, within_s=10, ping_timeout_s=60)
        assert link.subprotocol == "a.b"
        await link.send("back", within_s=5)
        assert [await link.receive(), await link.receive()] == ["a.b", "back"]
        await link.close()
        none = tmp_path / "none"
        with pytest.raises(OSError):
            await engine_unix_socket.connect(none, subprotocol=None, most=1000, within_s=1, ping_timeout_s=60)
