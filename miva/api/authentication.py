"""Who is speaking in an HTTP call: a token, else the session's cookie (with CSRF), else the public guest."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from miva import identity
from miva.identity import Speaker
from miva.protocol.errors import Forbidden, Unauthenticated

from .errors import NO_PROOF


class SpeakerAuthentication(BaseAuthentication):
    """Finds the caller's owner; `speaker(request)` gives it to the views."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """(speaker, speaker); raises Unauthenticated, and Forbidden where a cookie speaks without its CSRF token."""
        found = speaker_of(request._request)
        return found, found

    def authenticate_header(self, *_: Any) -> str:
        """The scheme that a 401 names."""
        return "Token"


class SignedIn(BasePermission):
    """Lets in accounts alone."""

    def has_permission(self, request: Request, *_: Any) -> bool:
        """True for an account; raises Unauthenticated for a guest."""
        if speaker(request).is_guest:
            raise Unauthenticated()
        return True


def speaker(request: Request) -> Speaker:
    """The caller of a view that uses SpeakerAuthentication."""
    found = request.auth
    assert isinstance(found, Speaker)
    return found


def speaker_of(request: HttpRequest) -> Speaker:
    """The caller of any request; raises Unauthenticated, and Forbidden where a cookie speaks without its CSRF token."""
    token = token_of(request.META.get("HTTP_AUTHORIZATION", ""))
    if token is not None:
        return identity.speaker_of_token(token)
    found = identity.speaker_of_session(request.session)
    if found is None:
        return identity.public_speaker()
    if not carries_csrf_token(request):
        raise Forbidden(NO_PROOF)
    return found


def token_of(header: str) -> str | None:
    """The token of an Authorization header; None where it holds none of ours (a proxy's Basic, say)."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() in {"token", "bearer"} else None


def carries_csrf_token(request: HttpRequest) -> bool:
    """Whether the page that made this request may speak with its cookie: always so for methods that change nothing."""
    check = CSRFCheck(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, lambda *_: HttpResponse(), (), {}) is None


def session_lives(request: HttpRequest) -> bool:
    """Whether the request's cookie names a session that is kept."""
    key = request.session.session_key
    return key is not None and request.session.exists(key)
