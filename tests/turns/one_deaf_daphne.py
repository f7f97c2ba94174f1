"""The product for daphne with one fault: the first socket that is to be told of the server's end cannot be."""

from __future__ import annotations

from typing import Any

from daphne.ws_protocol import WebSocketProtocol

from epsilon.asgi import application

__all__ = ["application"]

_send_close_frame = WebSocketProtocol.sendCloseFrame
_failed: list[Any] = []


def _fail_once(self: Any, *args: Any, **options: Any) -> None:
    if not _failed:
        _failed.append(self)
        raise RuntimeError("this socket cannot be told")
    _send_close_frame(self, *args, **options)


WebSocketProtocol.sendCloseFrame = _fail_once
