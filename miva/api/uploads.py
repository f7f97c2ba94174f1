"""The file of an upload form: streamed to disk, bounded, and handed to the documents."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest
from rest_framework.request import Request

from miva.documents import reader
from miva.documents.reader import Received
from miva.protocol.errors import BadField, FileTooLarge

from . import fields
from .asgi import FORM_AROUND_A_FILE
from .errors import TOO_LARGE

TEXT = "text/plain"
MAX_TEXT_BYTES = 5 * 2**20


class BoundedUploadHandler(FileUploadHandler):
    """Stops reading a form whose file is over the limit, on servers where nothing before Django does (WSGI)."""

    chunk_size = TemporaryFileUploadHandler.chunk_size

    def handle_raw_input(self, *given: Any, **_: Any) -> None:
        """Raises FileTooLarge by the declared length, before anything is read."""
        content_length = given[2]
        if content_length > settings.MIVA_MAX_FILE_BYTES + FORM_AROUND_A_FILE:
            raise FileTooLarge(TOO_LARGE)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Lets a chunk through to the next handler; raises FileTooLarge."""
        if start + len(raw_data) > settings.MIVA_MAX_FILE_BYTES:
            raise FileTooLarge
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leaves the file to the next handler."""


def prepare(request: HttpRequest) -> None:
    """Sets how the form will be read; before anything (the CSRF check, too) looks into it."""
    request.upload_handlers = [BoundedUploadHandler(request), TemporaryFileUploadHandler(request)]


def received_file(request: Request, *, is_utf8_wanted: bool) -> Received:
    """The form's `file`, checked and spooled: the caller owns it. Raises BadField and the errors of `reader`."""
    file = fields.members(request).get("file")
    if not isinstance(file, UploadedFile):
        raise BadField("Send a form (multipart/form-data) with the file in its field “file”.", field="file")
    if len(request.FILES.getlist("file")) > 1:  # Django would take the last and say nothing of the others
        raise BadField("Send one file with each request.", field="file")
    name = (file.name or "file").replace("\0", "")
    received = reader.receive_chunks(file.chunks(), name=name, declared=file.content_type or "")
    try:
        if received.media_type == TEXT:
            _check_text(received, is_utf8_wanted=is_utf8_wanted)
    except BaseException:
        received.discard()
        raise
    return received


def _check_text(received: Received, *, is_utf8_wanted: bool) -> None:
    if not is_utf8_wanted:
        return
    if received.size > MAX_TEXT_BYTES:
        raise FileTooLarge("A text file may have at most 5 MB.")
    try:
        received.read().decode("utf-8")
    except UnicodeDecodeError as why:
        raise BadField("This text file is not in UTF-8. Please save it as UTF-8.", field="file") from why
