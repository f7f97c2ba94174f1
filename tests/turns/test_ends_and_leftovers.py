"""What a server does beside its turns: every socket hears of its end, and logins that are over do not pile up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.relay.world import World, closed

SESSIONS = "SELECT session_key FROM django_session"
_MAKE_SESSIONS = """
from django.contrib.sessions.models import Session
from datetime import timedelta
from django.utils import timezone
for name, days in (("over", -1), ("lasts", 1)):
    Session.objects.create(session_key=name, session_data="", expire_date=timezone.now() + timedelta(days=days))
"""


async def test_a_socket_that_cannot_be_told_of_the_end_keeps_no_other_from_hearing_it(tmp_path: Path) -> None:
    world = World(tmp_path, "daphne")
    world.product.application = "tests.turns.one_deaf_daphne:application"
    await asyncio.to_thread(world.start)
    async with world.socket() as first, world.socket() as second, world.socket() as third:
        stopping = asyncio.create_task(asyncio.to_thread(world.stop))
        codes = await asyncio.gather(*(closed(client) for client in (first, second, third)))
        assert sorted(code or 0 for code in codes) == [0, 1012, 1012]
        await stopping
    assert "A socket could not be told that the server ends" in world.product.log()


async def test_sessions_that_are_over_are_deleted(tmp_path: Path) -> None:
    world = World(tmp_path, "uvicorn")
    await asyncio.to_thread(world.start)
    try:
        made = await asyncio.to_thread(world.product.run, "shell", "-c", _MAKE_SESSIONS)
        assert made.returncode == 0, made.stderr
        assert {key for (key,) in world.rows(SESSIONS)} == {"over", "lasts"}
        await asyncio.to_thread(world.product.stop)
        await asyncio.to_thread(world.product.start)  # which tidies, and then every hour
        async with asyncio.timeout(30):
            while ("over",) in world.rows(SESSIONS):
                await asyncio.sleep(0.1)
        assert world.rows(SESSIONS) == [("lasts",)]
    finally:
        await asyncio.to_thread(world.stop)
