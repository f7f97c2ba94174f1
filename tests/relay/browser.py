"""A person's browser as far as HTTP goes: cookies, and the token that its forms and calls carry."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.parse
import urllib.request
from uuid import uuid4

from tests.product import PATIENCE_S
from tests.relay.world import World

PASSWORD = "a long story about pears"


class Browser:
    """One person's, with a jar of its own."""

    def __init__(self, world: World) -> None:
        self.url = world.product.url
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path: str = "") -> str:
        with self._opener.open(self.url + path, timeout=PATIENCE_S) as answer:
            words: str = answer.read().decode()
            return words

    def post(self, path: str, **fields: str) -> None:
        """Sends the form of that page."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(path))
        assert found
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": found[1]} | fields).encode()
        with self._opener.open(urllib.request.Request(self.url + path, body), timeout=PATIENCE_S) as answer:
            assert answer.url == self.url, answer.read().decode()[:2000]

    @property
    def session(self) -> str:
        return self._cookie("sessionid")

    def upload(self, name: str, content: bytes) -> int:
        """Sends a text file as the page does; returns the status."""
        edge = uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain'
        headers = {
            "Content-Type": f"multipart/form-data; boundary={edge}",
            "X-CSRFToken": self._cookie("csrftoken"),
        }
        body = f"{head}\r\n\r\n".encode() + content + f"\r\n--{edge}--\r\n".encode()
        request = urllib.request.Request(self.url + "api/document/", body, headers)
        with self._opener.open(request, timeout=PATIENCE_S) as answer:
            status: int = answer.status
            return status

    def _cookie(self, name: str) -> str:
        return next(cookie.value or "" for cookie in self._jar if cookie.name == name)
