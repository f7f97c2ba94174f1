"""What a changed login does to open sockets and running turns, and that no log ever holds a token."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from tests.engines import ScriptedEngine, echo
from tests.redis_server import RedisServer
from tests.relay.browser import PASSWORD, Browser
from tests.relay.world import World, closed, event, question, until


async def test_a_guest_who_signs_in_while_an_answer_comes_can_cancel_it(relay: World) -> None:
    name = "cancels-it"
    code = f"from miva.models import User; User.objects.create_user({name!r}, '{name}@example.org', {PASSWORD!r})"
    run = await asyncio.to_thread(relay.product.run, "shell", "-c", code)
    assert run.returncode == 0, run.stderr

    async def starts(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if json.loads(frame)["type"] == "chat":
            await connection.send('{"type": "stream", "content": "It is a long "}')

    browser = Browser(relay)
    await asyncio.to_thread(browser.get)
    async with relay.engine(starts) as engine:
        async with relay.socket(guest=browser.session, dialect="miva.v1") as guest:
            await guest.send(json.dumps({"type": "ask", "id": "q", "conversation": "c", "message": "What is it?"}))
            turn = (await until(guest, "delta"))["turn"]
            await asyncio.to_thread(browser.post, "accounts/login/", username=name, password=PASSWORD)
            assert await closed(guest) == 4401
        async with (
            relay.socket(token=relay.token(), dialect="miva.v1") as stranger,
            relay.socket(guest=browser.session, dialect="miva.v1") as account,
        ):
            await until(stranger, "hello")
            await stranger.send(json.dumps({"type": "cancel", "turn": turn}))
            assert (await event(stranger))["code"] == "not_found"
            await until(account, "hello")
            await account.send(json.dumps({"type": "cancel", "turn": turn}))
            asked, cancelled = await engine.wait_for_frames(2)
            assert cancelled == {"type": "cancel", "unique_id": asked["unique_id"]}
            await account.send('{"type": "ping"}')
            assert (await event(account))["type"] == "pong"


@pytest.mark.timeout(240)
async def test_a_token_that_is_deleted_anywhere_closes_its_open_sockets(tmp_path: Path) -> None:
    """Deleted by a command on another machine, for one: the socket does not wait until it is looked at by itself."""
    with RedisServer() as redis:
        world = World(tmp_path, "uvicorn", REDIS_URL=redis.url, SECRET_KEY="s" * 50, ALLOWED_HOSTS="127.0.0.1")
        try:
            world.start()
            name, token, jwt = world.account()
            tokens = "from rest_framework.authtoken.models import Token"
            delete = f"{tokens}; Token.objects.get(user__username={name!r}).delete()"
            async with (
                world.socket(token=token, dialect="miva.v1") as client,
                world.socket(token=jwt, dialect="miva.v1") as other,
            ):
                await until(client, "hello")
                await until(other, "hello")
                run = await asyncio.to_thread(world.product.run, "shell", "-c", delete)
                assert run.returncode == 0, run.stderr
                assert await closed(client) == 4401
                await other.send('{"type": "ping"}')  # what came with another token stays
                assert (await event(other))["type"] == "pong"
            world.assert_calm()
        finally:
            world.stop()


@pytest.mark.parametrize("path", ["ws/chat/", "ws/chat", "%77s/chat/"])
@pytest.mark.parametrize("name", ["token", "%74oken", "t%6Fken", "dialect=plain&tok%65n", "x=token&%74%6f%6b%65%6e"])
async def test_a_token_in_an_address_is_in_no_log_however_it_is_written(any_relay: World, name: str, path: str) -> None:
    token = any_relay.token()
    async with any_relay.engine(echo), any_relay.socket(path=path, query=f"{name}={token}") as client:
        if "dialect" not in name:
            assert (await event(client))["type"] == "welcome"
        await client.send(question("q", None))
        assert (await event(client))["message"] == "q"
    assert token not in any_relay.product.log()
    assert token[:20] not in any_relay.product.log()
