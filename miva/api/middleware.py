"""What every HTTP answer gets on its way out: security headers, errors in JSON under /api/, news for open sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from miva.account_signals import tell_sockets

from .errors import BadMethod, json_answer, of_status

_POLICY = (
    "default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class _OnTheWayOut:
    """A middleware that only looks at answers; stays asynchronous where its neighbours are, so it costs no thread."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        self.before(request)
        if self.is_async:
            return self._later(request)
        return self.after(request, self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self.after(request, await self.get_response(request))

    def before(self, request: HttpRequest) -> None:
        """Nothing, for most."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer to send instead; never blocks."""
        raise NotImplementedError


class SecurityHeadersMiddleware(_OnTheWayOut):
    """A page loads only what this server serves, runs no script of a document's or model's, and is framed by nobody."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same answer with its headers."""
        try:  # 'self' covers the socket in today's browsers, but not yet in those of some years ago
            host = request.get_host()
            sockets = f" ws://{host} wss://{host}"
        except DisallowedHost:
            sockets = ""
        response.headers.setdefault("Content-Security-Policy", _POLICY.format(sockets=sockets))
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class ApiErrorsMiddleware(_OnTheWayOut):
    """Under /api/ no answer is an HTML error page, also where no view was reached (unknown address, bad host)."""

    def before(self, request: HttpRequest) -> None:
        """Reads text as UTF-8, whatever charset a client names: some names are of codecs that are not for text."""
        if _is_api(request):
            request.encoding = "utf-8"

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, or its JSON form where it is an error page."""
        if not _is_api(request):
            return response
        if response.status_code >= 400 and response.headers.get("Content-Type") != "application/json":
            allowed = response.headers.get("Allow", "")
            status = response.status_code
            response.close()
            response = json_answer(BadMethod(allowed) if status == 405 else of_status(status), status)
            if allowed:
                response.headers["Allow"] = allowed
        response.headers.setdefault("Cache-Control", "no-store")  # tokens and private texts
        return response


def _is_api(request: HttpRequest) -> bool:
    return request.path_info == "/api" or request.path_info.startswith("/api/")


class SocketNewsMiddleware(_OnTheWayOut):
    """Tells open sockets about a changed login when the answer has left (see `account_signals.tell_after`)."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same answer; what is to be told is told when the server closes it."""
        owners = request.__dict__.get("miva_sockets_to_tell")
        if owners:
            # Django's own list of what to close with an answer: the place that is reached on every server.
            for owner in owners:
                response._resource_closers.append(partial(tell_sockets, owner))  # type: ignore[attr-defined]
        return response
