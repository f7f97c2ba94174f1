"""A disk without room costs the file that did not fit, in words, and no trace; health says what is wrong."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from miva import no_room
from tests.operations.pair import upload_text
from tests.operations.talk import ask_plainly, call, open_socket
from tests.processes import process_tree
from tests.product import Product

MOST = 2**20
"""Bytes that a file may have while the disk is “full”: a limit of the processes (EFBIG), which needs no disk."""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server that has room for small files only; what its log says is for the last test to read."""
    with Product(tmp_path_factory.mktemp("full")) as product:
        assert product.process is not None
        for pid in process_tree(product.process.pid):
            with contextlib.suppress(PermissionError):  # an extraction process, which may write nothing, for good
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (MOST, resource.RLIM_INFINITY))
        yield product
        assert "Traceback" not in product.log(), product.log()
        assert "A file could not be written: File too large" in product.log()


@pytest.mark.parametrize("megabytes", [2, 6], ids=["a form in memory", "a form on the disk"])
def test_an_upload_that_finds_no_room_is_refused_in_words(product: Product, megabytes: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        upload_text(product, "The ferry is crimson.\n" * (megabytes * 2**20 // 22))
    said = refused.value.read().decode()
    assert (refused.value.code, "no room for this file" in said, '"busy"' in said) == (503, True, True)
    assert upload_text(product, "The ferry is crimson.")


async def test_a_file_in_a_question_that_finds_no_room_is_refused_in_words(product: Product) -> None:
    content = base64.b64encode(b"The ferry is crimson.\n" * (2 * 2**20 // 22)).decode()
    async with open_socket(product.socket_url, "miva.plain") as socket:
        said = await ask_plainly(
            socket, "Colour?", file={"name": "ferry.txt", "type": "text/plain", "content": content}
        )
        assert (said["code"], "no room for this file" in said["error"]) == ("busy", True)
        assert "message" in await ask_plainly(socket, "Are you there?")


def test_health_tells_of_the_disk(product: Product) -> None:
    assert call(product.url + "api/health/")[1]["disk"] == "ok"


def test_what_is_full_or_cannot_be_written_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_room.state(tmp_path) == "ok"
    disk = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*disk[:4], 0, *disk[5:])))
    assert no_room.state(tmp_path) == "full"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert no_room.state(tmp_path) == "read-only"
