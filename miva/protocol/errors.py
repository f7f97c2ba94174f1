"""The family of errors that a client may be told about, and what each one says to a person.

    MivaError
    ├── BadFrame            the frame itself: not JSON, not an object, a wrong field
    │   ├── BadJson
    │   └── BadField
    ├── FileRefused         a file that cannot be taken or read
    │   ├── UnsupportedType, BadBase64, NotAPdf, EncryptedPdf, BrokenPdf, NoText,
    │   └── FileTooLarge, TooManyPages, ExtractionTimeout, ExtractionMemory
    ├── NotAllowed          RateLimited, Forbidden, NotFound, Unauthenticated
    ├── Busy
    ├── EngineFailed        EngineUnavailable, EngineTimeout, EngineError
    └── Internal

Each class carries its code (contract section 5) and the HTTP status that says the same, so that no edge has to guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self


class MivaError(Exception):
    """Something a client is told about: `message` is a sentence for a person, `code` a word for a program."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    sentence: ClassVar[str] = "Something went wrong on our side. Please try again."
    is_mistake: ClassVar[bool] = False
    """True for what a client did wrong with a frame; too many of these close a socket."""

    def __init__(
        self, message: str | None = None, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        self.message = message or self.sentence
        self.field = field
        self.retry_after = retry_after
        self.refused_id: str | None = None
        """The client's own id of what is refused, where no request was made of its frame."""
        super().__init__(self.message)

    def details(self) -> dict[str, Any]:
        """The members beside code and message that a frame or a response carries, without the missing ones."""
        details: dict[str, Any] = {}
        if self.field is not None:
            details["field"] = self.field
        if self.retry_after is not None:
            details["retry_after"] = round(self.retry_after, 1)
        return details


class BadFrame(MivaError):
    code, http_status, is_mistake = "bad_frame", 400, True
    sentence = "That frame cannot be understood: a JSON object in a text frame is expected."


class BadJson(BadFrame):
    code = "bad_json"
    sentence = "That is not valid JSON. Send one JSON object in one text frame."


class BadField(BadFrame):
    code = "bad_field"
    sentence = "A field is missing or has a value that cannot be used."


class FileRefused(MivaError):
    code, http_status, is_mistake = "broken_pdf", 400, True

    def naming(self, name: str) -> Self:
        """The same in words that name the file."""
        return type(self)(f"The file “{name}” was refused. {self.message}", field=self.field)


class UnsupportedType(FileRefused):
    code, http_status = "unsupported_type", 415
    sentence = "Only PDF and plain text files can be read."


class BadBase64(FileRefused):
    code = "bad_base64"
    sentence = "The file's content is not valid base64."


class NotAPdf(FileRefused):
    code = "not_a_pdf"
    sentence = "This file is not a PDF, whatever its name says."


class EncryptedPdf(FileRefused):
    code = "encrypted_pdf"
    sentence = "This PDF is locked with a password. Send the password with the file."


class BrokenPdf(FileRefused):
    code = "broken_pdf"
    sentence = "This PDF is damaged and no text could be read from it."


class NoText(FileRefused):
    code = "no_text"
    sentence = "No text was found in this file. It may hold only pictures of pages."


class FileTooLarge(FileRefused):
    code, http_status = "file_too_large", 413
    sentence = "This file is too large."


class TooManyPages(FileRefused):
    code, http_status = "too_many_pages", 413
    sentence = "This PDF has too many pages."


class ExtractionTimeout(FileRefused):
    code = "extraction_timeout"
    sentence = "Reading this file took too long, so it was stopped."


class ExtractionMemory(FileRefused):
    code = "extraction_memory"
    sentence = "Reading this file needed more memory than is allowed, so it was stopped."


class NotAllowed(MivaError):
    code, http_status = "forbidden", 403


class RateLimited(NotAllowed):
    code, http_status = "rate_limited", 429
    sentence = "Too many questions in a short time. Please wait a moment."


class Forbidden(NotAllowed):
    code = "forbidden"
    sentence = "This belongs to somebody else."


class NotFound(NotAllowed):
    code, http_status, is_mistake = "not_found", 404, True
    sentence = "There is no such thing, or it is not yours."


class Unauthenticated(NotAllowed):
    code, http_status = "unauthenticated", 401
    sentence = "Please sign in."


class Busy(MivaError):
    code, http_status = "busy", 503
    sentence = "The server is busy. Please try again in a moment."


class EngineFailed(MivaError):
    code, http_status = "engine_error", 502


class EngineUnavailable(EngineFailed):
    code, http_status = "engine_unavailable", 503
    sentence = "The answering engine cannot be reached. Please try again in a moment."


class EngineTimeout(EngineFailed):
    code, http_status = "engine_timeout", 504
    sentence = "The answering engine did not answer in time."


class EngineError(EngineFailed):
    code = "engine_error"
    sentence = "The answering engine failed while it answered."


class Internal(MivaError):
    code = "internal"


@contextmanager
def naming_the_file(name: str, files: int) -> Iterator[None]:
    """While one of several files is worked on: the error that refuses it says which one it was."""
    try:
        yield
    except FileRefused as why:
        if files > 1:
            raise why.naming(name) from why
        raise


def error_of(code: str) -> type[MivaError]:
    """The class whose own a code is that was stored; Internal for one that is none."""
    families: list[type[MivaError]] = [MivaError]
    for family in families:  # grows while it is walked, until the whole tree is in it
        families += family.__subclasses__()
    return next((kind for kind in reversed(families) if vars(kind).get("code") == code), Internal)
