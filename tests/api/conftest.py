"""Alice and Bob have accounts, Charlie is a guest; each has a client that answers like a server process would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.core import mail
from django.core.cache import caches
from django.test import Client
from django.test.client import ClientHandler

from miva import accounts
from miva.models import User

PASSWORD = "a long story about pears"
PATIENCE_S = 10.0


@cache
def _handler(csrf: bool) -> ClientHandler:
    """One for all callers, as in a server process: each would look for all static files anew."""
    return ClientHandler(enforce_csrf_checks=csrf)


class Api:
    """Calls of one caller: errors of the server come as answers, as they would by network."""

    def __init__(self, *, csrf: bool = False, **headers: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.client.handler = _handler(csrf)
        self.headers = headers

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        """One request; `body` is sent as JSON, or as it is where it is bytes."""
        extra = {"content_type": "application/json", "headers": self.headers} | extra
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, path, data, **extra)

    def get(self, path: str, **extra: Any) -> Any:
        return self.send("GET", path, **extra)

    def post(self, path: str, body: Any = None, **extra: Any) -> Any:
        return self.send("POST", path, body, **extra)


def answer(response: Any) -> Any:
    """The JSON of an answer, which every answer under /api/ must be."""
    assert response.headers["Content-Type"] == "application/json", response.content[:300]
    return json.loads(response.content)


def assert_refused(response: Any, status: int, code: str, field: str | None = None) -> None:
    """The answer is this error, in words."""
    said = answer(response)
    assert (response.status_code, said.get("code"), said.get("field")) == (status, code, field), said
    assert len(said["error"]) > 10
    assert said["error"][0].isupper()


@pytest.fixture(autouse=True)
def _quick_and_fresh(settings: Any) -> None:
    """Passwords are hashed in no time, and nobody's attempts are left over from another test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    caches["local"].clear()
    caches["default"].clear()


@pytest.fixture
def nobody() -> Api:
    """A caller with neither cookie nor token."""
    return Api()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.org", PASSWORD)


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.org", PASSWORD)


@pytest.fixture
def as_alice(alice: User) -> Api:
    return Api(Authorization=f"Token {accounts.tokens_of(alice)['token']}")


@pytest.fixture
def as_bob(bob: User) -> Api:
    return Api(Authorization=f"Bearer {accounts.tokens_of(bob)['access']}")


@pytest.fixture
def charlie(db: None) -> Api:
    """A guest's browser, which has opened the page."""
    guest = Api()
    guest.client.get("/")
    return guest


@pytest.fixture
def mails_of(django_capture_on_commit_callbacks: Any) -> Callable[..., list[Any]]:
    """Calls something, and returns the mails that it sends: as many as are expected."""

    def run(action: Callable[[], Any], *, expected: int = 1) -> list[Any]:
        sent = len(mail.outbox)
        with django_capture_on_commit_callbacks(execute=True):
            action()
        deadline = time.monotonic() + PATIENCE_S
        while len(mail.outbox) < sent + expected and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(mail.outbox) == sent + expected
        return mail.outbox[sent:]

    return run
