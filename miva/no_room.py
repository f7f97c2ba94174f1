"""A disk that takes nothing more: what a client is told whose file cannot be written, and what health says of it."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from miva.protocol.errors import Busy

logger = logging.getLogger("miva.no_room")

LEAST = 8 * 2**20
"""Bytes that must be free below the data folder; with less hardly any document can be taken."""
_CODES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


def is_it(why: BaseException) -> bool:
    """Whether an error says that there is no room: the disk or the quota is full, or nothing may be written at all."""
    return isinstance(why, OSError) and why.errno in _CODES


def told(why: BaseException) -> Busy:
    """The error for a client whose file could not be written; the log gets one line, and a trace of what is no lack of
    room."""
    words = why.strerror if isinstance(why, OSError) else why
    logger.error("A file could not be written: %s", words, exc_info=None if is_it(why) else why)
    return Busy("The server has no room for this file just now. Please try again later.")


def state(folder: Path) -> str:
    """`ok`, `full` or `read-only`: whether what clients send can be written in a folder. Blocks, shortly."""
    if not os.access(folder, os.W_OK):  # refused to root too where the disk is read-only
        return "read-only"
    disk = os.statvfs(folder)
    return "full" if disk.f_blocks and disk.f_bavail * disk.f_frsize < LEAST else "ok"
