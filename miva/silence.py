"""A database that is there and says nothing: how long a serving process waits for it, and who finds out when it is
back.

One that is gone refuses at once. One that hangs would hold every thread that asks it for as long as each may wait, one
after the other: so only one caller at a time tries to reach it then, and all others are refused without waiting.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

logger = logging.getLogger("miva.silence")

PATIENCE_S = 10.0
"""For one statement of a request, a socket or a turn."""
UNHURRIED_S = 600.0
"""For one that tidies up."""
RETRY_S = 1.0
"""Between two tries to reach it."""
LONGEST_TRY_S = 60.0
"""After which a try that never came back is forgotten, and another may begin."""

_of_thread = threading.local()
_is_bounded = False


class NoAnswer(Exception):
    """The database did not answer, or is not asked because it does not: the log was told when that began."""


def bound_waits() -> None:
    """From now on nothing in this process waits for the database without end: it serves people. Commands, which may
    change tables for an hour, go on waiting."""
    global _is_bounded
    _is_bounded = True


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """The thread's statements may take long: nobody waits for them."""
    before, _of_thread.patience_s = patience_s(), UNHURRIED_S
    try:
        yield
    finally:
        _of_thread.patience_s = before


def patience_s() -> float:
    """Seconds that a statement of this thread is waited for."""
    return float(getattr(_of_thread, "patience_s", PATIENCE_S)) if _is_bounded else float("inf")


class Door:
    """Whether the database answers, as the whole process knows it, and who may try. Called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_silent = False
        self._next_try = 0.0

    def may_try(self) -> bool:
        """Whether the caller may connect; it tells what came of it by one of the calls below."""
        if not self._is_silent:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + LONGEST_TRY_S
            return True

    def no_answer(self, words: str) -> None:
        """It was waited for in vain."""
        with self._lock:
            is_new, self._is_silent = not self._is_silent, True
            self._next_try = time.monotonic() + RETRY_S
        if is_new:
            logger.error("The database does not answer (%s); what needs it is refused until it does", words)

    def answered(self, *, is_well: bool = True) -> None:
        """It said something; not `is_well`: that it cannot be used, which is told to whoever asks."""
        if not self._is_silent:
            return
        with self._lock:
            was_silent, self._is_silent = self._is_silent, False
        if was_silent and is_well:
            logger.warning("The database answers again")


door = Door()
"""The one of this process."""
