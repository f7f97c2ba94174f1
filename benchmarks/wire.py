"""A blocking WebSocket client of the fewest parts (RFC 6455), for measuring from outside what a server does.

It costs little, reads only when told to, and so can also be the client that does not read at all.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

from tests.product import PATIENCE_S

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_MASK = bytes(4)
"""A mask of zeros: the payload stands in the frame as it is, and the server takes the mask off all the same."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """The bytes of one whole frame from a client."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", _FINAL | opcode, _MASKED | size)
    elif size < 2**16:
        head = struct.pack("!BBH", _FINAL | opcode, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, _MASKED | 127, size)
    return head + _MASK + payload


def port_of(url: str) -> int:
    """The port in an address."""
    port = urlsplit(url).port
    assert port is not None
    return port


class Wire:
    """One open WebSocket. Its methods raise ConnectionError where the server hangs up, TimeoutError where it is silent.

    `receive_buffer` is the kernel's buffer for what was not read yet, in bytes.
    """

    def __init__(
        self,
        port: int,
        path: str = "/ws/chat/",
        *,
        receive_buffer: int | None = None,
        subprotocol: str | None = None,
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:  # before connecting: the window of the connection is made from it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        offered = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self.take()
        answer, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"The server refused a WebSocket: {answer.decode(errors='replace')}")
        self._buffer = bytearray(rest)

    def send_text(self, text: str) -> None:
        self.socket.sendall(client_frame(TEXT, text.encode()))

    def ping(self, payload: bytes = b"") -> None:
        """Sends a ping and waits for its pong; raises ConnectionError for text that comes in between."""
        self.socket.sendall(client_frame(PING, payload))
        opcode, answered = self.next_frame()
        if opcode != PONG or answered != payload:
            raise ConnectionError(f"A ping was answered by a frame of kind {opcode}: {answered[:200]!r}")

    def next_text(self) -> bytes:
        """The payload of the next text frame."""
        opcode, payload = self.next_frame()
        if opcode != TEXT:
            raise ConnectionError(f"A text frame was expected, not one of kind {opcode}: {payload[:200]!r}")
        return payload

    def next_frame(self) -> tuple[int, bytes]:
        """Kind and payload of the next frame that is no ping; pings of the server are answered."""
        while True:
            opcode, payload = self._cut()
            if opcode != PING:
                return opcode, payload
            self.socket.sendall(client_frame(PONG, payload))

    def close(self) -> None:
        """Hangs up without a farewell."""
        self.socket.close()

    def _cut(self) -> tuple[int, bytes]:
        self._need(2)
        first, size = self._buffer[0], self._buffer[1]
        start = 2
        if size == 126:
            start = 4
            self._need(start)
            size = int.from_bytes(self._buffer[2:start], "big")
        elif size == 127:
            start = 10
            self._need(start)
            size = int.from_bytes(self._buffer[2:start], "big")
        self._need(start + size)
        payload = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        if not first & _FINAL:
            raise ConnectionError("The server sent a frame in parts, which this client does not read.")
        return first & 0x0F, payload

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            self.take()

    def take(self, most: int = 2**18) -> None:
        """Reads so many bytes at most of what has come; what is no whole frame yet stays here."""
        data = self.socket.recv(most)
        if not data:
            raise ConnectionError("The server hung up.")
        self._buffer += data
