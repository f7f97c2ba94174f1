"""Messages come out of a socket as they went in, however they were cut; what is none ends the conversation."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from miva.documents import wire
from tests.documents.helpers import SECONDS

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def frame(head: object, body: bytes = b"", *, head_length: int | None = None, body_length: int | None = None) -> bytes:
    packed = head if isinstance(head, bytes) else json.dumps(head).encode()
    lengths = (head_length or len(packed), len(body) if body_length is None else body_length)
    return struct.pack("!II", *lengths) + packed + body


def soon() -> float:
    return time.monotonic() + SECONDS


def all_messages(receiver: wire.Receiver) -> None:
    while receiver.receive(soon()):
        pass


def test_messages_that_waited_leave_together_and_come_one_by_one(pair: Pair) -> None:
    sender, receiver = wire.Sender(pair[0]), wire.Receiver(pair[1])
    texts = ["Привет, 世界", "", "plain", "🙂" * 50_000, "the last"]

    def say() -> None:
        for number, text in enumerate(texts):
            sender.send({"number": number}, text, may_wait=number + 1 < len(texts))

    writing = threading.Thread(target=say)
    writing.start()  # the long one does not fit into a socket's buffer
    assert [receiver.receive(soon()) for _ in texts] == [({"number": n}, text) for n, text in enumerate(texts)]
    writing.join()
    assert not receiver.has_more


def test_a_frame_that_comes_byte_by_byte_is_whole(pair: Pair) -> None:
    receiver = wire.Receiver(pair[1])
    data = frame([[{"a": 1}, 3], [{"b": 2}, 0]], b"xyz") + frame([[{"c": 3}, 2]], "é".encode())

    def dribble() -> None:
        for at in range(len(data)):
            pair[0].sendall(data[at : at + 1])

    writing = threading.Thread(target=dribble)
    writing.start()
    assert [receiver.receive(soon()) for _ in range(3)] == [({"a": 1}, "xyz"), ({"b": 2}, ""), ({"c": 3}, "é")]
    writing.join()


@pytest.mark.parametrize("came", [0, 4, 10, 20])
def test_silence_within_a_frame_is_late(pair: Pair, came: int) -> None:
    receiver = wire.Receiver(pair[1])
    pair[0].sendall(frame([[{"a": 1}, 3]], b"xyz")[:came])
    with pytest.raises(wire.Late):
        receiver.receive(time.monotonic() + 0.05)


@pytest.mark.parametrize(
    "hostile",
    [
        frame(b"not JSON"),
        frame(b"\xff\xfe"),
        frame({"a": 1}),
        frame(None),
        frame([{"a": 1}]),
        frame([["header", 0]]),
        frame([[{}, "0"]]),
        frame([[{}, True]], b"x"),
        frame([[{}, -1]]),
        frame([[{}, 4]], b"xyz"),
        frame([[{}, 2], [{}, 2]], b"xyz"),
        frame([[{}, 2]], b"xyz"),
        frame([[{}, 1]], b"\xff"),
        frame([], b"xyz"),
        frame(b"[]", head_length=wire.MAX_MESSAGE, body_length=1),
        frame(b"[]", head_length=2**32 - 1, body_length=2**32 - 1),
        frame([[{}, 3]], b"x", body_length=3),
        b"\x00\x00",
    ],
)
def test_what_is_no_message_ends_it_without_harm(pair: Pair, hostile: bytes) -> None:
    pair[0].sendall(hostile)
    pair[0].shutdown(socket.SHUT_WR)
    receiver = wire.Receiver(pair[1])
    with pytest.raises(wire.Closed):
        all_messages(receiver)


def test_a_job_comes_with_its_descriptors_and_alone(pair: Pair) -> None:
    long = {"pages": list(range(5000))}
    for job in ({"kind": "pdf"}, long):
        with open(os.devnull, "rb") as file:
            wire.send(pair[0], job, fds=[file.fileno()])
        received, (fd,) = wire.receive_with_fds(pair[1], 2)
        assert received == job
        assert not os.get_inheritable(fd)
        os.close(fd)
    pair[0].sendall(frame([[{}, 0], [{}, 0]]))
    with pytest.raises(wire.Closed):
        wire.receive_with_fds(pair[1], 2)


def test_nobody_there_is_closed_on_both_ways(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(wire.Closed):
        wire.Receiver(pair[0]).receive(soon())
    with pytest.raises(wire.Closed):
        wire.send(pair[0], {"kind": "pdf"})
    with pytest.raises(wire.Closed):
        wire.Sender(pair[0]).send({"event": "end"})
