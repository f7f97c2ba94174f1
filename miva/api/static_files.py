"""The page's files, served by WhiteNoise as they are: no build, no collectstatic, on every server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

CHUNK = 2**16


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise for asynchronous servers too: its own middleware answers with blocking files there, and Django warns
    at every request and reads the file whole."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def add_files(self, root: str | os.PathLike[str], prefix: str | None = None) -> None:
        """Leaves out STATIC_ROOT where nobody ran collectstatic, which nobody has to."""
        if os.path.isdir(root):
            super().add_files(root, prefix=prefix)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The file that the address names, else the answer of the next in line."""
        if self.is_async:
            return self._later(request)
        answer: HttpResponseBase = super().__call__(request)
        return answer

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        if self.autorefresh and request.path_info.startswith(self.static_prefix):
            file = await sync_to_async(self.find_file, thread_sensitive=False)(request.path_info)
        else:
            file = self.files.get(request.path_info)
        if file is None:
            answer: HttpResponseBase = await self.get_response(request)
            return answer
        found = await sync_to_async(file.get_response, thread_sensitive=False)(request.method, request.META)
        response: HttpResponseBase
        if found.file is None:
            response = HttpResponse(status=int(found.status))
        else:
            response = StreamingHttpResponse(_pieces(found.file), status=int(found.status))
            response._resource_closers.append(found.file.close)  # type: ignore[attr-defined]
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        return response


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    while piece := await read(CHUNK):
        yield piece
