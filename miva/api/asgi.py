"""The HTTP side under ASGI: Django, with a bound on what a client may make it take in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from typing import IO, Any, Final

import django
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.response import HttpResponseBase

from miva import no_room
from miva.protocol.errors import FileTooLarge, MivaError

from .errors import TOO_LARGE, payload

Message = Mapping[str, Any]
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPLOAD_PATHS: Final = ("/api/upload", "/api/document")
ASK_PATH: Final = re.compile(r"/api/session/(?s:.+)/ask/?\Z")
FORM_AROUND_A_FILE: Final = 2**20
"""Bytes that a form may have beside its file."""
LINGER_S: Final = 10.0
"""How long the rest of a refused body is read away: a client that is cut off while it sends never reads why."""


class BoundedHandler(ASGIHandler):
    """Django's handler takes in a whole body, of any size, before it looks at it; this one stops at what may be sent.

    Bodies are spooled below the data folder, and one that comes without a Content-Length (chunked) gets it here, since
    Django and DRF would take it for empty.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or answers 413 before its body is taken in."""
        most = most_bytes(scope["path"])
        if _declared(scope) > most:
            await _refuse(scope, receive, send, _too_large(scope))
            return
        taken = 0
        rest_to_come = True

        async def bounded_receive() -> Message:
            nonlocal taken, rest_to_come
            message = await receive()
            taken += len(message.get("body", b""))
            rest_to_come = message.get("more_body", False)
            return {"type": "http.disconnect"} if taken > most else message  # Django drops what it has and returns

        try:
            await super().__call__(dict(scope), bounded_receive, send)
        except OSError as why:  # of the body's spooling, before there is a request
            if not no_room.is_it(why):
                raise
            await _refuse(scope, receive if rest_to_come else None, send, no_room.told(why))
            return
        if taken > most:
            await _refuse(scope, receive if rest_to_come else None, send, _too_large(scope))

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """The body, in memory while it is small; raises RequestAborted when the client is gone."""
        # On leaving this class's hands it is closed by Django, or by its own destructor.
        body: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, mode="w+b", dir=str(settings.FILE_UPLOAD_TEMP_DIR)
        )
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                body.close()
                raise RequestAborted
            body.write(message.get("body", b""))
            if not message.get("more_body", False):
                body.seek(0)
                return body

    def create_request(
        self, scope: Scope, body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        """The request, with the length of its body."""
        if not any(name == b"content-length" for name, _ in scope["headers"]):
            size = body_file.seek(0, os.SEEK_END)
            body_file.seek(0)
            if size:
                scope = {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % size)]}
        return super().create_request(scope, body_file)


def http_application() -> BoundedHandler:
    """Django's HTTP side for `epsilon/asgi.py`, in the place of `get_asgi_application`."""
    django.setup(set_prefix=False)
    return BoundedHandler()


def most_bytes(path: str) -> int:
    """Bytes that the body of a request to this path may have."""
    if path.rstrip("/").endswith(UPLOAD_PATHS):
        most: int = settings.MIVA_MAX_FILE_BYTES + FORM_AROUND_A_FILE
        return most
    if ASK_PATH.search(path):
        return int(settings.MIVA_MAX_FRAME)
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0


def _declared(scope: Scope) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")


def _too_large(scope: Scope) -> FileTooLarge:
    if scope["path"].rstrip("/").endswith(UPLOAD_PATHS):
        return FileTooLarge(f"This file is too large: at most {settings.MIVA_MAX_FILE_BYTES / 2**20:g} MB are taken.")
    return FileTooLarge(TOO_LARGE)


async def _refuse(scope: Scope, receive: Receive | None, send: Send, error: MivaError) -> None:
    """Answers with an error at once, then reads the rest of the body away for a while, then ends the connection."""
    body = json.dumps(payload(error)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    # A client that asked first (Expect: 100-continue) is still waiting, and sends nothing now.
    if receive is not None and not _header(scope, b"expect"):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body", False):
                    pass
    await send({"type": "http.response.body", "body": b""})
