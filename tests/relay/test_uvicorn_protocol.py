"""Frames joined into fewer writes are the same bytes in the same order."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode

from miva.uvicorn_protocol import MOST_HELD, JoiningTransport, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_text_frame_is_what_websockets_would_send(size: int) -> None:
    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


async def test_all_that_is_written_arrives_in_order_whatever_turn_of_the_loop_it_was_written_in() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    expected = b""
    server = await asyncio.start_server(keeps, "127.0.0.1", 0)
    async with server:
        loop = asyncio.get_running_loop()
        raw, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        transport = JoiningTransport(raw, loop)
        for turn in range(20):
            for number in range(turn * 3):
                piece = b"%d.%d " % (turn, number) * (1 + (number == 7) * (MOST_HELD // 4))
                transport.write(piece)
                expected += piece
            await asyncio.sleep(0)
        transport.write(b"first ")
        transport.write(b"last")
        transport.close()  # what was held back goes out before
        assert await asyncio.wait_for(received, 30) == expected + b"first last"
