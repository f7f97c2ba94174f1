"""What a client did wrong with a request stands in the log as one line: no error of the server's, and no trace."""

from __future__ import annotations

import logging

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError

_CLIENTS = (SuspiciousOperation, BadRequest, MultiPartParserError)
"""A strange host, too many fields or files, a form that cannot be read. Django logs errors for these, or a trace."""


class OneLine(logging.Filter):
    """For a handler, so that it sees the loggers of all kinds of mistakes (Django has one for each)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record; none is left out."""
        if record.exc_info and isinstance(record.exc_info[1], _CLIENTS):
            as_warning(record)
        return True


def as_warning(record: logging.LogRecord) -> None:
    """Takes the trace and the level of an error from a record."""
    record.exc_info = record.exc_text = None
    record.levelno = min(record.levelno, logging.WARNING)
    record.levelname = logging.getLevelName(record.levelno)
