"""The hub over a real Redis: renewed memberships, a Redis that forgets them, and names for any topic."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import get_channel_layer
from channels_redis.core import RedisChannelLayer
from hypothesis import given
from hypothesis import strategies as st

from miva.hub import Hub, group_name
from miva.redis_layer import RedisLayer
from tests.operations.talk import eventually
from tests.redis_server import RedisServer

NEVER = 3600.0


@asynccontextmanager
async def listening(**periods: float) -> AsyncIterator[Callable[[str], Any]]:
    """A hub that hears of `anything`; gives a function that waits until it has heard some text, said by another hub."""
    hub, other = Hub(**periods), Hub()
    heard: list[str] = []
    hub.subscribe("anything", lambda news: heard.append(news["text"]))
    await eventually(lambda: hub.connected)

    async def hears(text: str, patience: float = 2.0) -> bool:
        other.tell("anything", {"text": text})
        try:
            await eventually(lambda: text in heard, patience)
        except AssertionError:
            return False
        return True

    try:
        yield hears
    finally:
        await hub.close()
        await other.close()


@pytest.fixture
def layer_of_this_test(redis_server: RedisServer, settings: Any) -> None:
    """A group is forgotten after three seconds, as it is after a day in the product."""
    use_layer(settings, redis_server, RedisLayer)


def use_layer(settings: Any, redis_server: RedisServer, layer: type[RedisChannelLayer]) -> None:
    config = {"hosts": [{"address": redis_server.url, "socket_timeout": 10}], "group_expiry": 3}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{layer.__module__}.{layer.__name__}", "CONFIG": config}}


class ForgetfulLayer(RedisLayer):
    """Forgets a cancel that comes while a group is left, as `asyncio.wait_for` does at times before Python 3.12."""

    leaving = asyncio.Event()

    async def group_discard(self, group: str, channel: str) -> None:
        self.leaving.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(NEVER)


async def test_a_membership_that_is_renewed_outlives_its_expiry(layer_of_this_test: None) -> None:
    async with listening(renew_s=1, pulse_s=NEVER) as hears:
        await asyncio.sleep(5)
        assert await hears("after five seconds")


async def test_a_membership_that_is_not_renewed_ends_in_silence(layer_of_this_test: None) -> None:
    """The trap itself: without it the test above would prove nothing."""
    async with listening(renew_s=NEVER, pulse_s=NEVER) as hears:
        assert await hears("at once")
        await asyncio.sleep(5)
        assert not await hears("after five seconds")


async def test_a_listener_hears_again_after_redis_was_emptied(
    layer_of_this_test: None, redis_server: RedisServer
) -> None:
    async with listening(renew_s=NEVER, pulse_s=0.5) as hears:
        assert await hears("before")
        with redis_server.client() as client:
            client.flushall()
        await asyncio.sleep(2)
        assert await hears("after")


async def test_a_process_keeps_one_channel_over_failures(layer_of_this_test: None, redis_server: RedisServer) -> None:
    """With a channel for each, the groups would send everything to the old ones as well, to be read and thrown away."""
    async with listening(renew_s=NEVER, pulse_s=NEVER) as hears:
        assert await hears("before")
        with redis_server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(1)
            assert await hears("after")
            groups = [key for key in client.scan_iter() if ":group:" in key]
            assert {key: client.zcard(key) for key in groups} == dict.fromkeys(groups, 1)


def test_a_hub_that_was_closed_is_as_new_for_the_next_loop(layer_of_this_test: None) -> None:
    hub = Hub()

    async def hear() -> None:
        unsubscribe = hub.subscribe("anything", lambda _: None)
        await eventually(lambda: hub.connected)
        unsubscribe()
        await hub.close()
        hub.subscribe("nothing", lambda _: None)()
        await hub.close()

    for _ in range(2):
        asyncio.run(hear())
    hub._look_at("later")
    assert "later" not in hub._changed, "nobody is there to take it away again"


async def test_a_hub_closes_where_its_layer_forgets_that_it_was_told_to(
    redis_server: RedisServer, settings: Any
) -> None:
    use_layer(settings, redis_server, ForgetfulLayer)
    hub = Hub()
    unsubscribe = hub.subscribe("anything", lambda _: None)
    await eventually(lambda: hub.connected)
    unsubscribe()
    await ForgetfulLayer.leaving.wait()
    async with asyncio.timeout(5):
        await hub.close()


async def test_a_layer_that_is_away_is_logged_once_and_once_more_when_it_is_back(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """And not with each news, of which a busy server has hundreds a second."""
    redis, hub = RedisServer(), Hub()
    use_layer(settings, redis, RedisLayer)

    async def tell() -> None:
        for number in range(3):
            hub.tell("anything", {"number": number})
        await eventually(lambda: not hub._sends)

    try:
        await tell()
        with redis:
            await tell()
        await tell()
    finally:
        await hub.close()
    told = [record.getMessage().partition(" (")[0] for record in caplog.records if record.name == "miva.hub"]
    away = "The channel layer does not take news"
    assert told == [away, "The channel layer takes news again", away]


@pytest.mark.parametrize(("layer", "complaints"), [(RedisLayer, 0), (RedisChannelLayer, 1)])
async def test_a_message_that_redis_cannot_be_told_of_fails_no_task(
    layer: type[RedisChannelLayer], complaints: int, redis_server: RedisServer, settings: Any
) -> None:
    """channels_redis's own layer, beside it, shows that the test sees what it looks for."""
    use_layer(settings, redis_server, layer)
    complained: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complained.append(context))
    used = get_channel_layer()
    channel = await used.new_channel()
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-zpopmin")
        try:
            await used.send(channel, {"type": "news"})
            assert await used.receive(channel) == {"type": "news"}
            await asyncio.sleep(0.5)
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+zpopmin")
    gc.collect()
    assert len(complained) == complaints


@given(st.text())
def test_any_topic_has_a_name_that_the_layer_takes(topic: str) -> None:
    layer = get_channel_layer()
    name = group_name(topic)
    assert layer.require_valid_group_name(name)
    assert name.isascii()
    assert len(name) < 100
    assert topic not in name or len(topic) < 5
