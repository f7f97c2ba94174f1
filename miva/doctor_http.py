"""The doctor's calls to a server's HTTP side, without following redirects."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer; `data` is None where it is no JSON object."""

    status: int
    headers: Message
    data: dict[str, Any] | None

    @property
    def error(self) -> str:
        """The server's own words on what is wrong, or the status."""
        return str((self.data or {}).get("error") or f"status {self.status}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def call(
    url: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str], seconds: float
) -> Answer:
    """One call; raises OSError where no answer comes."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if urlsplit(url).hostname in LOCAL:
        handlers.append(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 (the caller checked the scheme)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=seconds) as answer:
            return Answer(answer.status, answer.headers, _object(answer.read()))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, _object(refused.read()))
    except urllib.error.URLError as why:
        raise why.reason if isinstance(why.reason, OSError) else OSError(str(why.reason)) from why


def file_form(name: str, media_type: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a form with one field, `file`."""
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
