"""The HTTP side under ASGI takes in no body over the limit, and understands one that does not tell its length."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from miva.api.asgi import BoundedHandler, most_bytes

pytestmark = pytest.mark.django_db(transaction=True)
LOGIN = "/api/login/"


class Server:
    """What an ASGI server does for one request, with a client that sends these pieces."""

    def __init__(self, path: str, pieces: Iterable[bytes], **headers: str) -> None:
        self.pieces = iter(pieces)
        self.read = 0
        self.is_over = False
        self.sent: list[dict[str, Any]] = []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [
                (b"host", b"localhost"),
                *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
            ],
            "client": ("127.0.0.1", 50_000),
        }

    async def receive(self) -> dict[str, Any]:
        if self.is_over:
            await asyncio.Event().wait()  # the client waits for its answer
        piece = next(self.pieces, None)
        self.read += len(piece or b"")
        self.is_over = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not self.is_over}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def run(self) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        await BoundedHandler()(self.scope, self.receive, self.send)
        assert self.sent[-1]["type"] == "http.response.body"
        assert not self.sent[-1].get("more_body")
        body = b"".join(message.get("body", b"") for message in self.sent[1:])
        return self.sent[0]["status"], json.loads(body)


def pieces(size: int) -> Iterable[bytes]:
    return (b"x" * 65_536 for _ in range(size // 65_536))


async def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_asked_for() -> None:
    server = Server("/api/upload/", pieces(10**9), content_length=str(10**9), expect="100-continue")
    status, said = await server.run()
    assert (status, said["code"]) == (413, "file_too_large")
    assert server.read == 0


async def test_the_answer_is_out_before_the_rest_of_the_body_is_read_away(settings: Any) -> None:
    settings.MIVA_MAX_FILE_BYTES = 2**20
    server = Server("/api/document", pieces(8 * 2**20), content_length=str(8 * 2**20))
    status, said = await server.run()
    assert (status, said["code"]) == (413, "file_too_large")
    assert server.read == 8 * 2**20
    assert (b"connection", b"close") in server.sent[0]["headers"]


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(settings: Any, tmp_path: Path) -> None:
    settings.MIVA_MAX_FILE_BYTES = 2**20
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    server = Server("/api/upload/", pieces(64 * 2**20), content_type="multipart/form-data; boundary=x")
    status, said = await server.run()
    assert (status, said["code"]) == (413, "file_too_large")
    assert list(tmp_path.iterdir()) == []


async def test_other_calls_take_what_a_form_may_have() -> None:
    assert most_bytes("/api/upload/") > most_bytes(LOGIN)
    status, said = await Server(LOGIN, pieces(8 * 2**20)).run()
    assert (status, said["code"]) == (413, "file_too_large")


async def test_a_body_of_unknown_length_is_read() -> None:
    body = [b'{"username": "nobody",', b' "password": "x"}']
    status, said = await Server(LOGIN, body, content_type="application/json").run()
    assert (status, said["code"]) == (401, "unauthenticated")


async def test_a_large_body_is_spooled_below_the_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "tmp"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    server = Server("/api/document/", pieces(10**6))
    body = await BoundedHandler().read_body(server.receive)
    spooled = body._file if isinstance(body, tempfile.SpooledTemporaryFile) else body
    assert isinstance(spooled.name, int)  # on disk, and without a name, so that nothing is left by a crash
    body.close()
