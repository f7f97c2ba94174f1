"""Two machines as the README says: one database and Redis, a data folder for each, and the files of people shared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.operations.pair import upload_text
from tests.operations.talk import ask_numbered, engines_for, open_socket
from tests.postgres_server import PostgresServer
from tests.product import Product
from tests.redis_server import RedisServer

SHARED = ("documents", "texts", "uploads")


def machine(folder: Path, shared: Path, settings: dict[str, Any]) -> Product:
    """A server with a data folder of its own, in which what is shared is a link."""
    product = Product(folder, **settings)
    product.data.mkdir(mode=0o700)
    for name in SHARED:
        (shared / name).mkdir(parents=True, exist_ok=True)
        (product.data / name).symlink_to(shared / name)
    return product


async def test_a_file_sent_to_one_machine_is_asked_about_at_the_other(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with PostgresServer() as server:
        settings = {
            "DATABASE_URL": server.new_database(),
            "REDIS_URL": redis_server.url,
            "SECRET_KEY": "k" * 50,
            "ALLOWED_HOSTS": "127.0.0.1",
            "MIVA_VECTOR_STORE": "files",  # so that the other machine's engine has to be given the text
        }
        here, there = (machine(tmp_path / name, tmp_path / "shared", settings) for name in ("here", "there"))
        assert here.run("migrate").returncode == 0
        with here, there:
            document = await asyncio.to_thread(upload_text, here, "The ferry of Lindholm is painted in crimson.")
            for product in (here, there):
                async with open_socket(product.socket_url, "miva.v1") as socket:
                    *_, last = await ask_numbered(socket, "Which colour has the ferry?", documents=[document])
                assert (last["type"], "crimson" in last.get("text", "")) == ("done", True), last
            assert engines_for(here.data), "each machine has an engine of its own"
            assert engines_for(there.data), "each machine has an engine of its own"
        assert "Traceback" not in here.log() + there.log()
