"""How a request's JSON body is read, and that every answer is JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from miva.protocol.errors import BadJson, FileTooLarge

from .errors import TOO_LARGE


class JsonParser(BaseParser):
    """One JSON object in UTF-8, whatever charset the header names (RFC 8259, section 8.1)."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], *_: Any, **__: Any) -> dict[str, Any]:
        """The object; raises BadJson, FileTooLarge."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        body: bytes = stream.read(most + 1)
        if len(body) > most:
            raise FileTooLarge(TOO_LARGE)
        try:
            found = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError) as why:
            raise BadJson("The body of this request is not valid JSON in UTF-8.") from why
        if not isinstance(found, dict):
            raise BadJson("The body of this request must be one JSON object.")
        return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class AlwaysJson(BaseContentNegotiation):
    """Answers in JSON whatever Accept says: there is nothing else to choose, and an error has to be readable too."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The parser whose media type the request names; None where there is none (415)."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, _: Request, renderers: Iterable[BaseRenderer], *__: Any) -> tuple[BaseRenderer, str]:
        """The first renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""
