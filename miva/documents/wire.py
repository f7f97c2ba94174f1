"""Messages between the server and its extraction processes, over a socket: each a JSON header, and a text beside it.

Several travel in one frame: two 32-bit lengths, the headers as a JSON array with the bytes of each one's text, then the
texts. A text is not in its header, because parsing a page as JSON costs several times what decoding UTF-8 does. File
descriptors ride on a frame's first byte. Nothing here is pickled: a worker that a hostile PDF has taken over can send
wrong text, not code.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_LENGTHS = struct.Struct("!II")
MAX_MESSAGE = 64 * 2**20
"""Bytes of one frame; the text of a whole file at most (5 million characters) fits."""
_AT_ONCE = 65536
"""Bytes that are asked for at once."""
_JOB = 4096
"""The same of a job, which is small."""
_HELD_S = 0.005


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """Nothing arrived before the moment that was given."""


def send(sock: socket.socket, header: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Sends one message without a text; raises Closed when nobody reads any more."""
    frame = _packed([(header, b"")])
    try:
        sent = socket.send_fds(sock, [frame], fds) if fds else 0
        sock.sendall(frame[sent:])
    except OSError as why:
        raise Closed from why


def _packed(messages: Sequence[tuple[dict[str, Any], bytes]]) -> bytes:
    head = json.dumps([(header, len(text)) for header, text in messages]).encode()
    body = b"".join([text for _, text in messages])
    return _LENGTHS.pack(len(head), len(body)) + head + body


class Sender:
    """Sends messages; those that may wait leave with the next one, or when the last went out so long ago.

    Each message on its own costs a system call here, another there, and the reader a turn of the processor.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: list[tuple[dict[str, Any], bytes]] = []
        self._bytes = 0
        self._sent_at = time.monotonic()

    def send(self, header: dict[str, Any], text: str = "", *, may_wait: bool = False) -> None:
        """Sends one message, or keeps it for a moment; raises Closed when nobody reads any more."""
        encoded = text.encode()
        self._waiting.append((header, encoded))
        self._bytes += len(encoded)
        if not may_wait or self._bytes > _AT_ONCE or time.monotonic() - self._sent_at > _HELD_S:
            self.flush()

    def flush(self) -> None:
        """Sends what waits; raises Closed."""
        frame = _packed(self._waiting)
        self._waiting, self._bytes = [], 0
        try:
            self._sock.sendall(frame)
        except OSError as why:
            raise Closed from why
        self._sent_at = time.monotonic()


class Receiver:
    """Reads messages from a socket, as many at once as have come: small ones cost a fraction of a system call each."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._arrival = select.poll()
        self._arrival.register(sock, select.POLLIN)
        self._came = b""
        self._messages: deque[tuple[dict[str, Any], str]] = deque()

    @property
    def has_more(self) -> bool:
        """Whether something came behind the last message."""
        return bool(self._came or self._messages)

    def receive(self, until: float) -> tuple[dict[str, Any], str]:
        """The next message; `until` is a `time.monotonic()` moment. Raises Late or Closed."""
        while not self._messages:
            head_length, body_length = _lengths(self._take(_LENGTHS.size, until))
            self._messages.extend(_parsed(self._take(head_length, until), self._take(body_length, until)))
        return self._messages.popleft()

    def _take(self, count: int, until: float) -> bytes:
        while (missing := count - len(self._came)) > 0:
            if missing > _AT_ONCE:
                self._came += _exactly(self._sock, missing, lambda: self._wait(until))
                continue
            self._wait(until)
            self._came += _some(self._sock)
        taken, self._came = self._came[:count], self._came[count:]
        return taken

    def _wait(self, until: float) -> None:
        """Returns when there is something to read. Raises Late."""
        left = until - time.monotonic()
        if left <= 0 or not self._arrival.poll(1000 * left):
            raise Late


def receive_with_fds(sock: socket.socket, max_fds: int) -> tuple[dict[str, Any], list[int]]:
    """The next message and the descriptors that came with it (close-on-exec). Blocks; raises Closed.

    It has no text, and whoever sends it waits for what is said to it before the next.
    """
    try:
        came, fds, _, _ = socket.recv_fds(sock, _JOB, max_fds, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    except OSError as why:
        raise Closed from why
    for fd in fds:
        os.set_inheritable(fd, False)
    if not came:
        raise Closed
    came += _exactly(sock, _LENGTHS.size - len(came), _not_at_all)
    head_length, body_length = _lengths(came[: _LENGTHS.size])
    came += _exactly(sock, _LENGTHS.size + head_length + body_length - len(came), _not_at_all)
    messages = list(_parsed(came[_LENGTHS.size :], b""))
    if len(messages) != 1:
        raise Closed
    return messages[0][0], list(fds)


def _lengths(packed: bytes) -> tuple[int, int]:
    head_length, body_length = _LENGTHS.unpack(packed)
    if head_length + body_length > MAX_MESSAGE:
        raise Closed
    return head_length, body_length


def _parsed(head: bytes, body: bytes) -> Iterator[tuple[dict[str, Any], str]]:
    """The messages of a frame. Raises Closed where it is none."""
    at = 0
    try:
        for header, size in json.loads(head.decode()):
            if not isinstance(header, dict) or type(size) is not int or not 0 <= size <= len(body) - at:
                raise Closed
            yield header, body[at : at + size].decode()
            at += size
    except (ValueError, TypeError) as why:
        raise Closed from why
    if at != len(body):
        raise Closed


def _exactly(sock: socket.socket, count: int, wait: Callable[[], None]) -> bytes:
    """So many bytes, into memory of just that size, waiting before each look for them. Raises Closed."""
    received = bytearray(max(count, 0))
    view = memoryview(received)
    while view:
        wait()
        try:
            got = sock.recv_into(view)
        except OSError as why:
            raise Closed from why
        if not got:
            raise Closed
        view = view[got:]
    return bytes(received)


def _not_at_all() -> None:
    """For who may block."""


def _some(sock: socket.socket) -> bytes:
    """What has come, at least one byte. Raises Closed."""
    try:
        received = sock.recv(_AT_ONCE)
    except OSError as why:
        raise Closed from why
    if not received:
        raise Closed
    return received
