"""Messages between the server and its extraction processes: a JSON header with an optional text body, over a socket.

A message is two 32-bit lengths, the header and the body. The text travels beside the header and not inside it,
because parsing a page as JSON costs several times what decoding UTF-8 does. File descriptors ride on a message's
first byte. Nothing here is pickled: a worker that a hostile PDF has taken over can send wrong text, not code.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

_LENGTHS = struct.Struct("!II")
MAX_MESSAGE = 64 * 2**20
"""Bytes of one message; the text of a whole file at most (5 million characters) fits."""
_AT_ONCE = 65536
"""Bytes that are asked for at once."""
_HELD_S = 0.005


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """Nothing arrived before the moment that was given."""


def send(sock: socket.socket, header: dict[str, Any], body: str = "", fds: Sequence[int] = ()) -> None:
    """Sends one message; raises Closed when nobody reads any more."""
    message = _packed(header, body)
    try:
        sent = socket.send_fds(sock, [message], fds) if fds else 0
        sock.sendall(message[sent:])
    except OSError as why:
        raise Closed from why


def _packed(header: dict[str, Any], body: str) -> bytes:
    head = json.dumps(header).encode()
    text = body.encode()
    return _LENGTHS.pack(len(head), len(text)) + head + text


class Sender:
    """Sends messages; those that may wait leave with the next one, or when the last went out so long ago.

    Each message on its own costs a system call here, another there, and the reader a turn of the processor.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting = bytearray()
        self._sent_at = time.monotonic()

    def send(self, header: dict[str, Any], body: str = "", *, may_wait: bool = False) -> None:
        """Sends one message, or keeps it for a moment; raises Closed when nobody reads any more."""
        self._waiting += _packed(header, body)
        if not may_wait or len(self._waiting) > _AT_ONCE or time.monotonic() - self._sent_at > _HELD_S:
            self.flush()

    def flush(self) -> None:
        """Sends what waits; raises Closed."""
        waiting, self._waiting = self._waiting, bytearray()
        try:
            self._sock.sendall(waiting)
        except OSError as why:
            raise Closed from why
        self._sent_at = time.monotonic()


class Receiver:
    """Reads messages from a socket, as many at once as have come: small ones cost a fraction of a system call each."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._came = b""

    @property
    def has_more(self) -> bool:
        """Whether something came behind the last message."""
        return bool(self._came)

    def receive(self, until: float) -> tuple[dict[str, Any], str]:
        """The next message; `until` is a `time.monotonic()` moment. Raises Late or Closed."""
        head_length, text_length = _LENGTHS.unpack(self._take(_LENGTHS.size, until))
        _check(head_length, text_length)
        return _parsed(self._take(head_length, until), self._take(text_length, until))

    def _take(self, count: int, until: float) -> bytes:
        while (missing := count - len(self._came)) > 0:
            self._came += _exactly(self._sock, missing, until) if missing > _AT_ONCE else _some(self._sock, until)
        taken, self._came = self._came[:count], self._came[count:]
        return taken


def receive_with_fds(sock: socket.socket, max_fds: int) -> tuple[dict[str, Any], list[int]]:
    """The next message and the descriptors that came with it (close-on-exec). Blocks; raises Closed."""
    try:
        lengths, fds, _, _ = socket.recv_fds(sock, _LENGTHS.size, max_fds, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    except OSError as why:
        raise Closed from why
    for fd in fds:
        os.set_inheritable(fd, False)
    if not lengths:
        raise Closed
    lengths += _exactly(sock, _LENGTHS.size - len(lengths), None)
    head_length, text_length = _LENGTHS.unpack(lengths)
    _check(head_length, text_length)
    header, _ = _parsed(_exactly(sock, head_length, None), _exactly(sock, text_length, None))
    return header, list(fds)


def _check(head_length: int, text_length: int) -> None:
    if head_length + text_length > MAX_MESSAGE:
        raise Closed


def _parsed(head: bytes, text: bytes) -> tuple[dict[str, Any], str]:
    try:
        header = json.loads(head)
        body = text.decode()
    except ValueError as why:
        raise Closed from why
    if not isinstance(header, dict):
        raise Closed
    return header, body


def _exactly(sock: socket.socket, count: int, until: float | None) -> bytes:
    """So many bytes, into memory of just that size."""
    received = bytearray(count)
    view = memoryview(received)
    done = 0
    while done < count:
        with _within(sock, until):
            got = sock.recv_into(view[done:])
        if not got:
            raise Closed
        done += got
    return bytes(received)


def _some(sock: socket.socket, until: float) -> bytes:
    """What has come, at least one byte."""
    with _within(sock, until):
        received = sock.recv(_AT_ONCE)
    if not received:
        raise Closed
    return received


@contextlib.contextmanager
def _within(sock: socket.socket, until: float | None) -> Iterator[None]:
    """Bounds what is read inside by a moment. Raises Late or Closed."""
    left = None if until is None else until - time.monotonic()
    if left is not None and left <= 0:
        raise Late
    try:
        sock.settimeout(left)
        yield
    except TimeoutError as why:
        raise Late from why
    except OSError as why:
        raise Closed from why
