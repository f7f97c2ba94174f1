"""What a client is told while the database cannot be reached, over a socket as over HTTP; the log gets one line."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, OperationalError

from miva.protocol.errors import Busy

logger = logging.getLogger("miva.database_away")

UNREACHABLE = (OperationalError, InterfaceError)


def told(why: DatabaseError | InterfaceError) -> Busy:
    """The error for a client whose request met one of UNREACHABLE."""
    logger.error("The database failed: %s", why)
    return Busy("The database cannot be reached. Please try again in a moment.")
