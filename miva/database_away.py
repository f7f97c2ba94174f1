"""What a client is told while the database cannot be reached, over a socket as over HTTP; the log gets one line."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, OperationalError

from miva.protocol.errors import Busy
from miva.silence import NoAnswer

logger = logging.getLogger("miva.database_away")

UNREACHABLE = (OperationalError, InterfaceError)


def in_words(why: BaseException) -> str:
    """What a driver says, without its hints and the statement that it shows: its first line."""
    return str(why).strip().partition("\n")[0] or type(why).__name__


def told(why: DatabaseError | InterfaceError) -> Busy:
    """The error for a client whose request met one of UNREACHABLE; the log gets a line."""
    note(logger, logging.ERROR, "The database failed: %s", why)
    return Busy("The database cannot be reached. Please try again in a moment.")


def note(to: logging.Logger, level: int, words: str, why: BaseException) -> None:
    """Logs a line, with what the driver says at its `%s`; none where the database hangs, which is told once."""
    if not isinstance(why.__cause__, NoAnswer):
        to.log(level, words, in_words(why))


class OneLine(logging.Filter):
    """Says in a line, without a trace, that a page could not be made because the database is away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record; none is left out."""
        why = record.exc_info[1] if record.exc_info else None
        if isinstance(why, UNREACHABLE):
            record.msg, record.args = "%s (the database failed: %s)", (record.getMessage(), in_words(why))
            record.exc_info = None
        return True
