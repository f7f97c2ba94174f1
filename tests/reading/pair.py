"""Two workers on one database, and one Redis or none, both asking one scripted engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.redis_server import RedisServer
from tests.relay.world import World


@dataclass
class Pair:
    """`here` and `there` share all but their process; the engine of both stands at `here.engine`."""

    here: World
    there: World
    redis: RedisServer | None


@contextmanager
def pair(folder: Path, redis: RedisServer | None, server: str = "uvicorn", **settings: str) -> Iterator[Pair]:
    """Starts both; at the end they must stop, and must not have logged a traceback."""
    production = {"SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "127.0.0.1", **settings}
    if redis is not None:
        production["REDIS_URL"] = redis.url
    here = World(folder, server, **production)
    there = World(folder, server, **(production | {"MIVA_ENGINE_URL": f"ws://127.0.0.1:{here.engine_port}/ws/chat"}))
    try:
        if "DATABASE_URL" in settings:  # only SQLite is migrated by the server itself
            migrated = here.product.run("migrate")
            assert not migrated.returncode, migrated.stderr[-2000:]
        yield Pair(here.start(), there.start(), redis)
        for world in (there, here):
            if world.product.process is not None:  # not one that the test killed
                assert world.stop() is not None, "a server did not stop"
        log = here.product.log()
        assert "Traceback" not in log, log[max(0, log.find("Traceback") - 500) :][:4000]
    finally:
        here.product.kill()
        there.product.kill()
