"""Calls that wait for long and hold no thread meanwhile: the same callers and errors as those of DRF's views."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.protocol import frames
from miva.protocol.errors import BadJson, Busy, FileTooLarge, Internal

from .authentication import speaker_of
from .errors import TOO_LARGE, BadMethod, json_answer, of_status, translated

logger = logging.getLogger("miva.api")

Work = Callable[[ASGIRequest, Speaker, str], Awaitable[HttpResponseBase]]
"""What a call does for a caller with the name in its address; raises MivaError."""
View = Callable[[HttpRequest, str], Coroutine[Any, Any, HttpResponseBase]]

_NONCE = secrets.token_hex(16)


def call(method: str) -> Callable[[Work], View]:
    """Makes a view of a call that takes one method."""

    def decorated(work: Work) -> View:
        @csrf_exempt  # who is speaking is found below, and a cookie's proof with it
        @wraps(work)
        async def view(request: HttpRequest, name: str) -> HttpResponseBase:
            try:
                if request.method != method:
                    raise BadMethod(method)
                if not isinstance(request, ASGIRequest):
                    raise Busy("This server cannot hold a connection open. It has to be an ASGI server.")
                return await work(request, await in_thread(speaker_of)(request), name)
            except Exception as why:
                error = translated(why)
                if error is None:
                    logger.exception("A call failed: %s", work.__name__)
                response = json_answer(error or Internal())
                if isinstance(error, BadMethod):
                    response.headers["Allow"] = method
                return response

        return view

    return decorated


async def members(request: ASGIRequest, most: int) -> dict[str, Any]:
    """The JSON object of a request with a body of at most `most` bytes; raises MivaError."""
    if (request.content_type or "").lower() != "application/json":
        raise of_status(415)
    return await in_thread(_parsed)(request, most)


def caller(request: ASGIRequest, speaker: Speaker) -> str:
    """The name under which the limits count this caller."""
    return speaker.counted_as(request.META.get("REMOTE_ADDR"))


def _parsed(request: ASGIRequest, most: int) -> dict[str, Any]:
    body = request.read(most + 1)
    if len(body) > most:
        raise FileTooLarge(TOO_LARGE)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise BadJson("The body of this request is not valid JSON in UTF-8.") from why
    return frames.parse(text, _NONCE)
