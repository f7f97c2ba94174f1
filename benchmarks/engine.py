"""A scripted AI engine that costs less than what it measures: `python -m benchmarks.engine --port N`.

A text frame is a question, `{"message": "…", "type": "chat", "unique_id": …}`. Its message's first line is the script:

- `reply …`: one frame at once, with that line back;
- `burst <count> <size>`: `count` frames of `size` characters, numbered from 0, as fast as the socket takes them;
- `paced <count> <size> <ms>`: the same, one every so many milliseconds, each with the moment at which it was sent;
- anything else: one frame that says `answered`.

All of them are frames as an engine types them: `{"type":"stream","content":"…"}`, and behind them `{"type":"done",…}`
where the question has `"stream": true`. Several questions of one socket are answered one after the other. Nothing is
awaited and nothing is encoded twice: the frames of a burst are written many at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

import picows
import uvloop

HEAD, TAIL = b'{"type":"stream","content":"', b'"}'
END = b'{"type":"done","response":"","sources":[]}'
CHUNK = 32 * 1024
"""Bytes that are handed to a socket at once, a frame at least."""
LEAST_SIZE, LEAST_STAMPED = len(HEAD) + len(TAIL) + 10, len(HEAD) + len(TAIL) + 30
"""Characters of the smallest frame that holds its number, and of one that holds the moment too."""
LARGEST_QUESTION = 256 * 2**20


def frame(number: int, size: int) -> bytes:
    """The payload of a burst's frame: `size` bytes of ASCII, the number first."""
    return HEAD + content(number, size) + TAIL


def content(number: int, size: int) -> bytes:
    """The piece of an answer in such a frame."""
    return (b"%d " % number).ljust(content_size(size), b"x")


def content_size(size: int) -> int:
    """Characters of the piece of an answer in a frame of so many."""
    return size - len(HEAD) - len(TAIL)


def stamped(number: int, size: int) -> bytes:
    """The payload of a paced frame as it is now: the number, then nanoseconds of the clock of `seconds_since`."""
    words = b"%d %d " % (number, time.perf_counter_ns())
    return HEAD + words.ljust(content_size(size), b"x") + TAIL


def seconds_since(piece: str, number: int) -> float:
    """How long ago a paced frame was sent, by the piece of the answer in it; RuntimeError where it is another one."""
    now = time.perf_counter_ns()  # CLOCK_MONOTONIC, which all processes of a machine share
    words = piece.split(" ")
    if len(words) != 3 or words[0] != str(number) or not words[1].isdigit() or words[2].strip("x"):
        raise RuntimeError(f"Frame {number} of the engine was expected, not {piece[:80]!r}")
    return (now - int(words[1])) / 1e9


def reply(line: str) -> bytes:
    """The payload that carries one line of a question back."""
    return HEAD + json.dumps(line)[1:-1].encode() + TAIL


class Script(picows.WSListener):
    """One connection: what still has to be said, in order, for as long as the socket takes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._to_say: deque[Iterator[bytes | float]] = deque()
        self._may_write = True
        self._rest: asyncio.TimerHandle | None = None
        self._transport: picows.WSTransport | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT and frame.fin:
            question = json.loads(frame.get_payload_as_bytes())
            if question.get("type") == "chat":
                script = question["message"].partition("\n")[0]
                self._to_say.append(_answer(script, has_end=question.get("stream") is True))
                self._go_on()
        else:
            raise ValueError(f"The script has no answer to {frame}")

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        self._to_say.clear()
        self._transport = None
        if self._rest is not None:
            self._rest.cancel()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._go_on()

    def _go_on(self) -> None:
        while self._may_write and self._to_say and self._rest is None and self._transport is not None:
            step = next(self._to_say[0], None)
            if step is None:
                self._to_say.popleft()
            elif isinstance(step, float):
                self._rest = self._loop.call_later(step, self._rested)
            else:
                self._transport.underlying_transport.write(step)

    def _rested(self) -> None:
        self._rest = None
        self._go_on()


def _answer(line: str, *, has_end: bool) -> Iterator[bytes | float]:
    """What the socket is to carry, in pieces of whole frames, and seconds of rest."""
    match line.split():
        case ["burst", count, size]:
            yield from _burst(int(count), int(size))
        case ["paced", count, size, milliseconds]:
            yield from _paced(int(count), int(size), int(milliseconds) / 1000)
        case ["reply", *_]:
            yield _wire(reply(line))
        case _:
            yield _wire(reply("answered"))
    if has_end:
        yield _wire(END)


def _burst(count: int, size: int) -> Iterator[bytes]:
    if size < LEAST_SIZE:
        raise ValueError(f"A numbered frame needs {LEAST_SIZE} characters")
    step = max(1, CHUNK // size)
    make = _kept_piece if size <= CHUNK else _piece
    for first in range(0, count, step):
        yield make(first, min(count, first + step), size)


def _paced(count: int, size: int, pause_s: float) -> Iterator[bytes | float]:
    if size < LEAST_STAMPED:
        raise ValueError(f"A frame with its moment needs {LEAST_STAMPED} characters")
    for number in range(count):
        yield _wire(stamped(number, size))
        yield pause_s


def _piece(first: int, end: int, size: int) -> bytes:
    return b"".join(_wire(frame(number, size)) for number in range(first, end))


_kept_piece = lru_cache(maxsize=1024)(_piece)
"""Bursts of one size share their pieces, so that all but the first cost next to nothing."""


def _wire(payload: bytes) -> bytes:
    """A whole text frame as a server writes it (RFC 6455, section 5.2: not masked)."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 2**16:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


async def _serve(port: int) -> None:
    server = await picows.ws_create_server(
        lambda _: Script(), "127.0.0.1", port, max_frame_size=LARGEST_QUESTION, backlog=10_000
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
