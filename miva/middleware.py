"""What happens before a socket reaches its consumer: its host, its origin, and who is speaking."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from miva import database_away
from miva.identity import SessionStore, Speaker, public_speaker, speaker_of_session, speaker_of_token
from miva.in_thread import in_thread
from miva.protocol.errors import Forbidden, Unauthenticated

logger = logging.getLogger("miva.middleware")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_PREFIX = "token."  # noqa: S105 (a prefix in the list of subprotocols, not a secret)


class IdentityMiddleware:
    """Adds `speaker` to a socket's scope: a Speaker, or None for a caller who may not come in (closed with 4401).

    A host or an origin that is not allowed is refused with 403 before the handshake is accepted.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            speaker = await in_thread(identify)(scope)
        except Forbidden as why:
            logger.warning("A socket was refused: %s", why.message)
            await refuse(receive, send, scope, 403, why.message)
            return
        except database_away.UNREACHABLE as why:
            await refuse(receive, send, scope, 503, database_away.told(why).message)
            return
        except Unauthenticated:
            speaker = None
        scope["speaker"] = speaker
        await self._application(scope, receive, send)


async def refuse(receive: Receive, send: Send, scope: Scope, status: int, words: str) -> None:
    """Ends a handshake with an HTTP status; a server without that extension answers 403 to every refusal."""
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": words.encode()})
    else:
        await send({"type": "websocket.close"})


def identify(scope: Scope) -> Speaker:
    """Who opens a socket: a token before a cookie before nobody. Raises Unauthenticated or Forbidden."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    domain, _ = split_domain_port(host)
    if not validate_host(domain, settings.ALLOWED_HOSTS):
        raise Forbidden(f"The host {host!r} is not in ALLOWED_HOSTS.")
    token = token_of(scope, headers)
    if token is not None:
        return speaker_of_token(token)
    cookie = session_cookie(headers.get("cookie", ""))
    origin = headers.get("origin")
    if cookie and origin is not None:
        speaker = speaker_of_session(SessionStore(cookie))
        if speaker is not None:
            if not origin_is_allowed(origin, host, scope.get("scheme", "ws")):
                raise Forbidden(f"The origin {origin!r} is not in CSRF_TRUSTED_ORIGINS.")
            return speaker
    return public_speaker()


def token_of(scope: Scope, headers: dict[str, str]) -> str | None:
    """The token of a socket: from its subprotocols, from Authorization, or from `?token=`."""
    for offered in scope.get("subprotocols", []):
        if offered.startswith(TOKEN_PREFIX):
            return str(offered.removeprefix(TOKEN_PREFIX))
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() in {"token", "bearer"} and value.strip():
        return value.strip()
    values = query_of(scope).get("token")
    return values[0] if values else None


def query_of(scope: Scope) -> dict[str, list[str]]:
    """The parameters of a socket's address."""
    query = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=None)


def session_cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return morsel.value if morsel and morsel.value.isalnum() and morsel.value.isascii() else None


def origin_is_allowed(origin: str, host: str, scheme: str) -> bool:
    """Whether a page of this origin may speak with the visitor's cookie: the same origin, or one that is trusted."""
    own = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if origin.lower() == f"{own}://{host}".lower():
        return True
    try:
        asked = urlsplit(origin)
    except ValueError:  # no address at all, as http://[ is
        return False
    for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS):
        if trusted.scheme == asked.scheme and trusted.netloc == asked.netloc:
            return True
        below = trusted.netloc.removeprefix("*")
        if trusted.netloc.startswith("*.") and trusted.scheme == asked.scheme and asked.netloc.endswith(below):
            return True
    return False
