"""The embedded engine's socket outside the data folder: only a folder that is this user's alone is spoken to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, unix_serve

from miva import engine_process
from tests.product import Product
from tests.relay.world import event, question


def test_a_private_folder_is_ours(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    assert engine_process.is_ours(folder / "engine.sock")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_not_ours(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    assert not engine_process.is_ours(folder / "engine.sock")


def test_what_is_no_folder_or_not_there_is_not_ours(tmp_path: Path) -> None:
    folder, link, file = tmp_path / "private", tmp_path / "link", tmp_path / "file"
    folder.mkdir(mode=0o700)
    link.symlink_to(folder, target_is_directory=True)
    file.touch(mode=0o600)
    for path in (link, file, tmp_path / "nothing"):
        assert not engine_process.is_ours(path / "engine.sock")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    assert not engine_process.is_ours(folder / "engine.sock")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="miva-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_an_engine_in_a_folder_that_others_can_write_is_not_asked(tmp_path: Path, short_folder: Path) -> None:
    """Somebody made the folder first, and listens there: questions are for nobody else's eyes."""
    heard: list[str | bytes] = []

    async def listens(connection: ServerConnection) -> None:
        async for frame in connection:
            heard.append(frame)
            await connection.send("give me more")

    product = Product(tmp_path / ("long" * 30), TMPDIR=str(short_folder))
    found = product.run("shell", "-c", "from miva import engine_process; print('PATH', engine_process.socket_path())")
    path = Path(found.stdout.rpartition("PATH ")[2].strip())
    assert path.is_relative_to(short_folder), found.stderr
    path.parent.mkdir()
    path.parent.chmod(0o777)
    async with unix_serve(listens, str(path)):
        with product:
            async with connect(product.socket_url, proxy=None) as client:
                await client.send(question("a secret", None))
                assert (await event(client))["code"] == "engine_unavailable"
            assert "MIVA_DATA_DIR" in product.log()
            assert "Traceback" not in product.log()
    assert heard == []
