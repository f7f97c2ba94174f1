"""The one place where an exception becomes an HTTP answer `{"error", "code"}` (contract sections 5 and 6)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from miva import database_away, no_room
from miva.protocol.errors import (
    BadField,
    BadFrame,
    Busy,
    FileTooLarge,
    Forbidden,
    Internal,
    MivaError,
    NotFound,
    RateLimited,
    Unauthenticated,
    UnsupportedType,
)

logger = logging.getLogger("miva.api")


class BadMethod(BadField):
    """A verb that an address does not know: the code of a field that cannot be used, and the status HTTP has for it."""

    http_status = 405
    sentence = "This address does not take that method."

    def __init__(self, allowed: str = "") -> None:
        super().__init__(f"This address takes {allowed}." if allowed else None, field="method")


NOTHING_HERE = "There is nothing at this address."
NOT_UNDERSTOOD = "That request cannot be understood."
TOO_LARGE = "This request is too large."
NO_PROOF = (
    "This request carries a browser's cookie without its CSRF token. Send the value of the csrftoken cookie as "
    "X-CSRFToken, or a token in Authorization."
)

_BY_STATUS: Mapping[int, MivaError] = {
    400: BadFrame(NOT_UNDERSTOOD),
    401: Unauthenticated(),
    403: Forbidden("This is not allowed."),
    404: NotFound(NOTHING_HERE),
    405: BadMethod(),
    413: FileTooLarge(TOO_LARGE),
    415: UnsupportedType("This address does not take that media type."),
    429: RateLimited(),
    503: Busy(),
}


def of_status(status: int) -> MivaError:
    """The error that an HTTP status stands for, where nothing more is known."""
    return _BY_STATUS.get(status) or (BadFrame(NOT_UNDERSTOOD) if status < 500 else Internal())


def payload(error: MivaError) -> dict[str, Any]:
    """The body of an answer: `error` for a person, `code` for a program, and the details where there are any."""
    return {"error": error.message, "code": error.code, **error.details()}


def headers(error: MivaError) -> dict[str, str]:
    """The HTTP headers that say the same as an error's details."""
    found = {}
    if error.retry_after is not None:
        found["Retry-After"] = str(math.ceil(error.retry_after))
    if error.http_status == 401:
        found["WWW-Authenticate"] = "Token"  # a scheme for which no browser opens a window of its own
    return found


def json_answer(error: MivaError, status: int | None = None) -> JsonResponse:
    """A whole answer, for code outside of DRF's views."""
    return JsonResponse(payload(error), status=status or error.http_status, headers=headers(error))


def handle(exc: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every exception of a view becomes an answer; only what nobody foresaw is `internal`."""
    error = translated(exc)
    if error is None:
        logger.error("A call failed: %s", type(context.get("view")).__name__, exc_info=exc)
        error = Internal()
    extra = headers(error)
    if isinstance(exc, exceptions.MethodNotAllowed):
        extra["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(payload(error), status=error.http_status, headers=extra)


def translated(exc: Exception) -> MivaError | None:
    """What an exception of Django's, DRF's or our own means to a client; None for a defect of ours."""
    match exc:
        case MivaError():
            return exc
        case exceptions.MethodNotAllowed():
            return BadMethod()
        case exceptions.UnsupportedMediaType():
            return of_status(415)
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return Unauthenticated()
        case exceptions.PermissionDenied() | PermissionDenied():
            return of_status(403)
        case exceptions.NotFound() | Http404():
            return NotFound(NOTHING_HERE)
        case exceptions.Throttled():
            return of_status(429)
        case RequestDataTooBig():
            return FileTooLarge(TOO_LARGE)
        case exceptions.ParseError() | MultiPartParserError():
            return BadFrame("The form in this request is not complete or not well formed.")
        case exceptions.APIException() if exc.status_code < 500:
            return of_status(exc.status_code)
        case SuspiciousOperation() | UnreadablePostError():
            return BadFrame(NOT_UNDERSTOOD)
        case UnicodeError() | DataError():
            return BadField("A field holds text that cannot be stored.")
        case OperationalError() | InterfaceError():
            return database_away.told(exc)
        case OSError() if no_room.is_it(exc):
            return no_room.told(exc)
    return None
