"""Who a socket speaks for: tokens in three places, cookies with their origin, nobody; and when a login ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from tests.engines import answering, echo
from tests.product import PATIENCE_S
from tests.relay.browser import PASSWORD, Browser
from tests.relay.world import World, closed, event, question, until


async def user(client: ClientConnection) -> dict[str, Any]:
    """Whom the server greets."""
    greeting = await until(client, "hello")
    found: dict[str, Any] = greeting["user"]
    return found


def ending(world: World, token: str, seconds: float) -> str:
    """The same JWT, but it ends in so many seconds; signed with the product's own key."""
    head, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["exp"] = int(time.time() + seconds)
    signed = f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}"
    key = (world.product.data / "secret_key").read_text().strip()
    signature = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("kind", ["drf", "jwt"])
async def test_a_token_in_any_of_its_places_speaks_for_its_account(any_relay: World, kind: str) -> None:
    name, drf, jwt = any_relay.account()
    token = drf if kind == "drf" else jwt
    ways: list[dict[str, Any]] = [
        {"token": token, "dialect": "miva.v1"},
        {"authorization": f"Token {token}", "dialect": "miva.v1"},
        {"authorization": f"Bearer {token}", "dialect": "miva.v1"},
        {"query": f"token={token}", "dialect": "miva.v1"},
    ]
    for way in ways:
        async with any_relay.socket(**way) as client:
            assert client.subprotocol == "miva.v1"
            assert await user(client) == {"name": name, "guest": False}
    assert token not in any_relay.product.log()
    assert token[:20] not in any_relay.product.log()


async def test_a_token_in_the_address_is_welcomed_unless_it_speaks_plain(any_relay: World) -> None:
    name, token, _ = any_relay.account()
    async with any_relay.engine(echo):
        async with any_relay.socket(query=f"token={token}") as client:
            welcome = await event(client)
            assert (welcome["type"], name in welcome["message"]) == ("welcome", True)
            await client.send(question("plain words work here too", None))
            assert (await event(client))["message"] == "plain words work here too"
        async with any_relay.socket(query=f"token={token}&dialect=plain") as client:
            await client.send(question("no welcome", None))
            assert (await event(client))["message"] == "no welcome"
        async with any_relay.socket(query=f"dialect=plain&token={token}", dialect="miva.plain") as client:
            await client.send(question("nor here", None))
            assert (await event(client))["message"] == "nor here"
    assert token not in any_relay.product.log()


async def test_only_our_own_subprotocol_is_selected(any_relay: World) -> None:
    token = any_relay.token()
    async with any_relay.socket(token=token, dialect="miva.plain") as client:
        assert client.subprotocol == "miva.plain"
    async with any_relay.socket(token=token) as client:
        assert client.subprotocol is None


async def test_a_bad_token_is_not_taken_for_nobody(any_relay: World) -> None:
    """Where guests may chat, too: a client that thinks it is signed in must hear that it is not."""
    _, _, jwt = any_relay.account()
    for bad in ("0" * 40, "a.b.c", ending(any_relay, jwt, -10), jwt[:-4] + "AAAA"):
        async with any_relay.socket(token=bad, dialect="miva.v1") as client:
            assert await closed(client) == 4401
    async with any_relay.socket(dialect="miva.v1") as client:
        assert (await user(client))["guest"] is True


async def test_a_jwt_that_ends_closes_its_open_sockets(any_relay: World) -> None:
    _, _, jwt = any_relay.account()
    short = ending(any_relay, jwt, 4)
    async with any_relay.socket(token=short, dialect="miva.v1") as client, any_relay.socket(token=jwt) as lasting:
        await user(client)
        assert await closed(client) == 4401
        assert short[-30:] not in any_relay.product.log()
        async with any_relay.engine(echo):
            await lasting.send(question("still in", None))
            assert (await event(lasting))["message"] == "still in"


async def test_a_token_that_was_revoked_does_not_come_in_again(relay: World) -> None:
    name, token, _ = relay.account()
    async with relay.socket(token=token, dialect="miva.v1") as client:
        await user(client)
    code = f"from rest_framework.authtoken.models import Token; Token.objects.get(user__username={name!r}).delete()"
    run = await asyncio.to_thread(relay.product.run, "shell", "-c", code)
    assert run.returncode == 0, run.stderr
    async with relay.socket(token=token, dialect="miva.v1") as client:
        assert await closed(client) == 4401


async def test_a_cookie_speaks_only_from_an_allowed_origin(any_relay: World) -> None:
    guest = any_relay.guest()
    for foreign in (
        "http://evil.example",
        f"https://127.0.0.1:{any_relay.product.port}",  # another scheme
        f"http://127.0.0.1:{any_relay.product.port + 1}",  # another port
        f"http://127.0.0.1.evil.example:{any_relay.product.port}",
        "null",
    ):
        with pytest.raises(InvalidStatus) as caught:
            await any_relay.socket(guest=guest, origin=foreign)
        assert caught.value.response.status_code == 403
        async with any_relay.socket(origin=foreign, dialect="miva.v1") as client:  # no cookie: whoever that is, nobody
            assert (await user(client))["guest"] is True


@pytest.mark.parametrize("origin", ["http://[", "http://[::1:80"])
async def test_an_origin_that_is_no_address_is_refused(any_relay: World, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await any_relay.socket(guest=any_relay.guest(), origin=origin)
    assert caught.value.response.status_code == (403 if any_relay.server == "uvicorn" else 400)  # daphne looks itself


async def test_without_an_origin_the_cookie_is_ignored(any_relay: World) -> None:
    guest = any_relay.guest()
    label = f"cookie-{any_relay.server}"
    async with any_relay.engine(echo), any_relay.socket(guest=guest) as browser:
        await browser.send(question("mine", label))
        assert (await event(browser))["message"] == "mine"
        async with any_relay.socket(headers={"Cookie": f"sessionid={guest}"}) as script:
            await script.send(question("who am I?", label))
            assert (await event(script))["code"] == "forbidden"  # the public guest, not the browser's
        async with any_relay.socket() as public:
            await public.send(question("who am I?", label))
            assert (await event(public))["code"] == "forbidden"
        async with any_relay.socket(guest=guest) as again:
            await again.send(question("me", label))
            assert (await event(again))["message"] == "me"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""])
async def test_a_host_that_is_not_allowed_is_refused(any_relay: World, host: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", any_relay.product.port)
    key = base64.b64encode(b"0123456789abcdef").decode()
    writer.write(
        f"GET /ws/chat/ HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE_S):
        status = await reader.readline()
    writer.close()
    assert status.split()[1] in (b"400", b"403")


async def test_a_refusal_is_no_error_of_the_server(relay: World) -> None:
    for path, headers in (("ws/chat/", {"Host": "evil.example"}), ("ws/nothing/", {})):
        with pytest.raises(InvalidStatus):
            await relay.socket(path=path, headers=headers)
    log = relay.product.log()
    assert "WebSocket /ws/nothing/" in log
    assert "ERROR" not in log


async def test_two_owners_see_nothing_of_each_other(relay: World) -> None:
    alice, bob = relay.token(), relay.token()
    async with (
        relay.engine(answering('{"type": "done", "response": "hers alone"}')) as engine,
        relay.socket(token=alice, dialect="miva.v1") as hers,
        relay.socket(token=bob, dialect="miva.v1") as his,
    ):
        await user(his)
        ask = {"type": "ask", "id": "q", "conversation": "ours?", "message": "secret"}
        await hers.send(json.dumps(ask))
        await until(hers, "done")
        await his.send(json.dumps(ask | {"message": "mine"}))
        accepted = await event(his)  # the very first frame he hears is his own
        assert (accepted["type"], accepted["seq"], accepted["message"]) == ("accepted", 1, "mine")
        await until(his, "done")
        assert engine.asked[1]["history"] == []


async def test_a_guest_who_signs_in_keeps_everything_and_comes_back_as_the_account(any_relay: World) -> None:
    name = f"signs-in-{any_relay.server}"
    code = f"from miva.models import User; User.objects.create_user({name!r}, '{name}@example.org', {PASSWORD!r})"
    run = await asyncio.to_thread(any_relay.product.run, "shell", "-c", code)
    assert run.returncode == 0, run.stderr
    browser = Browser(any_relay)
    await asyncio.to_thread(browser.get)
    done = '{"type": "done", "response": "It is Alpha."}'
    label = f"before-{any_relay.server}"
    async with any_relay.engine(answering(done)) as engine:
        async with any_relay.socket(guest=browser.session, dialect="miva.v1") as guest:
            assert (await user(guest))["guest"] is True
            await guest.send(json.dumps({"type": "ask", "id": "q", "conversation": label, "message": "What is it?"}))
            await until(guest, "done")
            await asyncio.to_thread(browser.post, "accounts/login/", username=name, password=PASSWORD)
            assert await closed(guest) == 4401
        async with any_relay.socket(guest=browser.session, dialect="miva.v1") as account:
            assert await user(account) == {"name": name, "guest": False}
            await account.send(json.dumps({"type": "ask", "id": "r", "conversation": label, "message": "And now?"}))
            assert (await until(account, "accepted"))["seq"] > 1
            await until(account, "done")
        assert engine.asked[1]["history"][0] == {"role": "user", "content": "What is it?"}
    assert browser.session not in any_relay.product.log()


GUESTS = "SELECT count(*) FROM miva_owner WHERE kind = 'guest'"


async def test_a_page_that_is_only_looked_at_leaves_nobody_behind(relay: World) -> None:
    before = relay.rows(GUESTS)
    for _ in range(5):
        await asyncio.to_thread(Browser(relay).get)
    assert relay.rows(GUESTS) == before


async def test_a_pages_first_socket_and_upload_at_the_same_moment_are_one_guest(any_relay: World) -> None:
    for _ in range(5):
        ((before,),) = any_relay.rows(GUESTS)
        browser = Browser(any_relay)
        await asyncio.to_thread(browser.get)
        upload = asyncio.to_thread(browser.upload, "a.txt", b"It is Alpha.")
        opening = any_relay.socket(guest=browser.session, dialect="miva.v1")
        status, client = await asyncio.gather(upload, opening)
        assert status == 201
        async with client:
            assert await user(client) == {"name": "Guest", "guest": True}
            assert await asyncio.to_thread(browser.upload, "b.txt", b"It is Beta.") == 201
            while (found := await until(client, "document"))["document"]["name"] != "b.txt":
                pass
            assert found["document"]["status"] in {"reading", "indexing", "ready"}
        assert any_relay.rows(GUESTS) == [(before + 1,)]
