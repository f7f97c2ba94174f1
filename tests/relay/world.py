"""One running product with an address for a scripted engine beside it, and the people who speak to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import sqlite3
import time
import urllib.request
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.engines import Script, ScriptedEngine, scripted_engine
from tests.product import PATIENCE_S, Product

PDF = "application/pdf"
_ACCOUNTS = """
import json
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import RefreshToken
from miva.models import User
made = []
for number in range({first}, {last}):
    user = User(username=f"person{{number}}", email=f"person{{number}}@example.org", is_active=True)
    user.set_unusable_password()
    user.save()
    token = Token.objects.create(user=user).key
    made.append([user.username, token, str(RefreshToken.for_user(user).access_token)])
print("MADE" + json.dumps(made))
"""


class World:
    """A product that asks one engine address, at which a test runs the engine it needs."""

    def __init__(self, folder: Path, server: str, **environment: str) -> None:
        # Bound and not listening: nobody else gets this port, engines can come and go there, and without one a
        # connection is refused.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.engine_port: int = self._place.getsockname()[1]
        settings = {"MIVA_ENGINE_URL": f"ws://127.0.0.1:{self.engine_port}/ws/chat"} | environment
        self.product = Product(folder, server, **settings)
        self.server = server
        self._looked_at = 0
        self._made = 0
        self._accounts: list[tuple[str, str, str]] = []

    def start(self) -> World:
        self.product.start()
        return self

    def stop(self) -> int | None:
        self._place.close()
        return self.product.stop()

    def engine(self, script: Script, **options: Any) -> AbstractAsyncContextManager[ScriptedEngine]:
        """Runs an engine at the address that the product asks."""
        return scripted_engine(script, port=self.engine_port, **options)

    def account(self) -> tuple[str, str, str]:
        """Somebody who has never spoken: name, DRF token and JWT access token."""
        if not self._accounts:
            code = _ACCOUNTS.format(first=self._made, last=self._made + 120)
            run = self.product.run("shell", "-c", code)
            assert "MADE" in run.stdout, run.stderr[-2000:]
            self._accounts = [tuple(entry) for entry in json.loads(run.stdout.partition("MADE")[2])]
            self._made += 120
        return self._accounts.pop()

    def token(self) -> str:
        """The DRF token of somebody who has never spoken."""
        return self.account()[1]

    def guest(self) -> str:
        """The session cookie of a new guest's browser, which has opened the page."""
        with urllib.request.urlopen(self.product.url, timeout=PATIENCE_S) as answer:
            cookies = answer.headers.get_all("Set-Cookie")
        return next(
            str(cookie).partition("sessionid=")[2].partition(";")[0] for cookie in cookies if "sessionid=" in cookie
        )

    def socket(
        self,
        *,
        path: str = "ws/chat/",
        query: str = "",
        token: str | None = None,
        authorization: str | None = None,
        dialect: str | None = None,
        guest: str | None = None,
        origin: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> connect:
        """A connection to the product. `token` travels in the subprotocols, `guest` is a session cookie of the page."""
        offered = ([dialect] if dialect else []) + ([f"token.{token}"] if token else [])
        sent = dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        if guest:
            sent["Cookie"] = f"sessionid={guest}"
            origin = origin or self.product.url.rstrip("/")
        return connect(
            f"ws://127.0.0.1:{self.product.port}/{path}{'?' if query else ''}{query}",
            subprotocols=[Subprotocol(name) for name in offered] or None,
            origin=Origin(origin) if origin else None,
            additional_headers=sent,
            max_size=None,
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=PATIENCE_S,
            close_timeout=1,
        )

    def rows(self, query: str, *values: Any) -> list[tuple]:
        """What a question to the product's database brings."""
        with closing(sqlite3.connect(f"file:{self.product.data / 'miva.sqlite3'}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def messages(self, label: str) -> list[tuple[str, str, list[str]]]:
        """(role, content, files) of each message that the history has of a conversation, oldest first."""
        rows = self.rows(
            "SELECT role, content, files FROM miva_message WHERE conversation_id ="
            " (SELECT id FROM miva_conversation WHERE label = ?) ORDER BY id",
            label,
        )
        return [(role, content, json.loads(files)) for role, content, files in rows]

    async def history(self, label: str, count: int) -> list[tuple[str, str, list[str]]]:
        """The messages of a conversation once there are that many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.messages(label)) < count:
                await asyncio.sleep(0.1)
        return found

    def assert_calm(self) -> None:
        """Nothing has gone wrong inside the server since this was asked before, and no turn goes on: it would look for
        its engine, which has gone with its test, and find that of the next one."""
        deadline = time.monotonic() + PATIENCE_S
        while going_on := self.rows("SELECT message FROM miva_turn WHERE state IN ('waiting', 'running')"):
            assert time.monotonic() < deadline, f"the test has left questions without an end: {going_on}"
            time.sleep(0.05)
        log = self.product.log()
        new, self._looked_at = log[self._looked_at :], len(log)
        assert "Traceback" not in new, new[-4000:]
        assert self.product.process is not None
        assert self.product.process.poll() is None


def question(message: str, unique_id: Any = "u", **more: Any) -> str:
    """A plain frame."""
    return json.dumps({"message": message, "type": "chat", "unique_id": unique_id} | more)


def file(content: bytes, name: str = "a.pdf", media_type: str = PDF, **more: Any) -> dict[str, Any]:
    """A file as it travels in a frame."""
    return {"name": name, "type": media_type, "content": base64.b64encode(content).decode()} | more


async def text(connection: ClientConnection, patience: float = PATIENCE_S) -> str:
    """The next text frame."""
    async with asyncio.timeout(patience):
        frame = await connection.recv()
    assert isinstance(frame, str)
    return frame


async def event(connection: ClientConnection, patience: float = PATIENCE_S) -> Any:
    """The next frame as JSON."""
    return json.loads(await text(connection, patience))


async def until(connection: ClientConnection, kind: str, patience: float = PATIENCE_S) -> Any:
    """The next frame of this type; those before it are passed over, except errors, which nobody expected."""
    while True:
        found = await event(connection, patience)
        if found["type"] == kind:
            return found
        assert found["type"] != "error", found


async def closed(connection: ClientConnection, patience: float = PATIENCE_S) -> int | None:
    """The code with which the server closes; frames before it are dropped. None where the connection just ends."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(patience):
            while True:
                await connection.recv()
    return None if connection.close_code == 1006 else connection.close_code


async def assert_silent(connection: ClientConnection, seconds: float = 0.3) -> None:
    """No further frame comes."""
    try:
        frame = await asyncio.wait_for(connection.recv(), seconds)
    except TimeoutError:
        return
    raise AssertionError(f"there was to be no further frame: {frame[:200]!r}")
