"""Two server processes on one data folder and one Redis, as two workers of a machine are."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from tests.operations.talk import call
from tests.product import PATIENCE_S, Product
from tests.redis_server import RedisServer


@contextmanager
def two_servers(folder: Path, redis_server: RedisServer, **settings: str) -> Iterator[tuple[Product, Product]]:
    """Both are stopped at the end, and must not have logged a traceback."""
    production = {"REDIS_URL": redis_server.url, "SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "127.0.0.1", **settings}
    first, second = (Product(folder, **production) for _ in range(2))
    try:
        yield first.start(), second.start()
        codes = first.stop(), second.stop()
        assert None not in codes, "a server did not stop"
        log = first.log()
        assert "Traceback" not in log, log[log.find("Traceback") - 500 :][:4000]
    finally:
        first.kill()
        second.kill()


def upload_text(product: Product, text: str) -> str:
    """Gives the public guest a document; returns its id."""
    boundary = uuid4().hex
    lines = [
        f"--{boundary}",
        'Content-Disposition: form-data; name="file"; filename="note.txt"',
        "Content-Type: text/plain",
        "",
        text,
        f"--{boundary}--",
        "",
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(product.url + "api/document/", "\r\n".join(lines).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        document: str = json.loads(answer.read())["document_id"]
        return document


class Browser:
    """A person's browser as far as cookies go; it goes to whichever server it is sent to."""

    def __init__(self) -> None:
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def sign_up_and_in(self, product: Product, name: str) -> None:
        person = {"email": f"{name}@example.org", "username": name, "password": "correct horse battery"}
        status, answer = call(product.url + "api/signup/", person)
        assert status == 201, answer
        self._opener.open(product.url + "accounts/login/", timeout=PATIENCE_S).read()
        self._post(product, "accounts/login/", username=name, password=person["password"])
        assert "sessionid" in self._cookies(), "signing in did not work"

    def sign_out(self, product: Product) -> None:
        self._post(product, "accounts/logout/")

    def socket_options(self, product: Product) -> dict[str, Any]:
        """What the browser sends when a page of this server opens a socket."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies().items())
        return {"additional_headers": {"Cookie": cookies}, "origin": product.url.rstrip("/")}

    def _cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def _post(self, product: Product, path: str, **fields: str) -> None:
        form = fields | {"csrfmiddlewaretoken": self._cookies()["csrftoken"]}
        self._opener.open(product.url + path, urlencode(form).encode(), timeout=PATIENCE_S).read()
