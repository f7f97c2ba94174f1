"""Messages between the server and its extraction processes: a JSON header with an optional text body, over a socket.

A message is two 32-bit lengths, the header and the body. The text travels beside the header and not inside it,
because parsing a page as JSON costs several times what decoding UTF-8 does. File descriptors ride on a message's
first byte. Nothing here is pickled: a worker that a hostile PDF has taken over can send wrong text, not code.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

_LENGTHS = struct.Struct("!II")
MAX_MESSAGE = 64 * 2**20
"""Bytes of one message; the text of a whole file at most (5 million characters) fits."""


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """Nothing arrived before the moment that was given."""


def send(sock: socket.socket, header: dict[str, Any], body: str = "", fds: Sequence[int] = ()) -> None:
    """Sends one message; raises Closed when nobody reads any more."""
    head = json.dumps(header).encode()
    text = body.encode()
    message = _LENGTHS.pack(len(head), len(text)) + head + text
    try:
        sent = socket.send_fds(sock, [message[: _LENGTHS.size]], fds) if fds else 0
        sock.sendall(message[sent:])
    except OSError as why:
        raise Closed from why


def receive(sock: socket.socket, until: float | None = None) -> tuple[dict[str, Any], str]:
    """The next message; `until` is a `time.monotonic()` moment. Raises Late or Closed."""
    head_length, text_length = _LENGTHS.unpack(_exactly(sock, _LENGTHS.size, until))
    return _rest(sock, head_length, text_length, until)


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
    header, _ = _rest(sock, head_length, text_length, None)
    return header, list(fds)


def _rest(sock: socket.socket, head_length: int, text_length: int, until: float | None) -> tuple[dict[str, Any], str]:
    if head_length + text_length > MAX_MESSAGE:
        raise Closed
    head = _exactly(sock, head_length, until)
    text = _exactly(sock, text_length, until)
    try:
        header = json.loads(head)
        body = text.decode()
    except ValueError as why:
        raise Closed from why
    if not isinstance(header, dict):
        raise Closed
    return header, body


def _exactly(sock: socket.socket, count: int, until: float | None) -> bytes:
    received = bytearray(count)
    view = memoryview(received)
    done = 0
    while done < count:
        if until is None:
            sock.settimeout(None)
        else:
            left = until - time.monotonic()
            if left <= 0:
                raise Late
            sock.settimeout(left)
        try:
            got = sock.recv_into(view[done:])
        except TimeoutError as why:
            raise Late from why
        except OSError as why:
            raise Closed from why
        if not got:
            raise Closed
        done += got
    return bytes(received)
