"""The engine of the fault suite, a process of its own: `python -m tests.faults.engine PORT`.

It answers each question with the words that the question asks for. A line of JSON goes to its standard output for each
question, `{"asked": name, "where": path}`; a line on its standard input, the name of a kind of garbage, makes every
answer that is being said go wrong in that way once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.faults.script import Question, parse

NONSENSE = '{"type": "stream", "contents": "%%"}'
"""A text frame that is no word of the contract, so the relay passes it on as a whole reply."""


async def _binary(connection: ServerConnection) -> None:
    await connection.send(b"\x00\xff garbage")


async def _broken_text(connection: ServerConnection) -> None:
    connection.transport.write(b"\x81\x04\xff\xfe\xfd\xfc")  # a text frame that is not UTF-8


async def _no_frame(connection: ServerConnection) -> None:
    connection.transport.write(b"\xf7 this is no WebSocket frame at all")


async def _nonsense(connection: ServerConnection) -> None:
    await connection.send(NONSENSE)


async def _error(connection: ServerConnection) -> None:
    await connection.send('{"type": "error", "message": "I have lost the thread."}')


GARBAGE: dict[str, Callable[[ServerConnection], Awaitable[None]]] = {
    "binary": _binary,
    "broken text": _broken_text,
    "no frame": _no_frame,
    "nonsense": _nonsense,
    "error": _error,
}


class Engine:
    """The answers that are being said."""

    def __init__(self) -> None:
        self._tellings: dict[str, asyncio.Task[None]] = {}
        self._garbage: dict[str, str] = {}
        """By `unique_id`, what goes wrong next."""

    def spoil(self, kind: str) -> None:
        """Makes every answer that is being said go wrong at its next words."""
        self._garbage = dict.fromkeys(self._tellings, kind)

    async def serve(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        mine: set[str] = set()
        try:
            async for frame in connection:
                data = json.loads(frame)
                unique_id = str(data["unique_id"])
                if data["type"] == "cancel":
                    self._stop(unique_id)
                    continue
                question = parse(data["message"])
                print(json.dumps({"asked": question.name, "where": path}), flush=True)
                mine.add(unique_id)
                self._tellings[unique_id] = asyncio.create_task(self._tell(connection, unique_id, question))
        except ConnectionClosed:
            pass
        finally:
            for unique_id in mine:
                self._stop(unique_id)

    def _stop(self, unique_id: str) -> None:
        telling = self._tellings.pop(unique_id, None)
        if telling is not None:
            telling.cancel()

    async def _tell(self, connection: ServerConnection, unique_id: str, question: Question) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            for number in range(question.words):
                if number % question.burst == 0:
                    await asyncio.sleep(question.pause_ms / 1000)
                    kind = self._garbage.pop(unique_id, None)
                    if kind is not None:
                        await GARBAGE[kind](connection)
                await connection.send(json.dumps({"type": "stream", "content": question.word(number)}))
            response = question.answer if question.repeats_all else ""
            await connection.send(json.dumps({"type": "done", "response": response, "sources": []}))
        self._tellings.pop(unique_id, None)


async def main(port: int) -> None:
    engine = Engine()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with serve(engine.serve, "127.0.0.1", port, compression=None, max_size=None, close_timeout=1):
        print(json.dumps({"ready": port}), flush=True)
        while line := await orders.readline():
            engine.spoil(line.decode().strip())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
