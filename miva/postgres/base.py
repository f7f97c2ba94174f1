"""What Django loads for the ENGINE `miva.postgres`."""

from __future__ import annotations

import contextlib
import time
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from miva.silence import NoAnswer, door, patience_s

CANCEL_S = 1.0

Result = TypeVar("Result")


class NoAnswerInTime(psycopg.OperationalError, NoAnswer):
    """A statement or a connection was waited for in vain, or the database is known not to answer."""


class Connection(psycopg.Connection[TupleRow]):
    """A connection that gives up on a server that does not answer: libpq alone waits for ever."""

    def wait(self, gen: PQGen[Result], *args: Any, **options: Any) -> Result:
        """psycopg's, for each statement; raises NoAnswerInTime, and the connection is closed then."""
        patience = patience_s()
        if patience == float("inf"):
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_until(time.monotonic() + patience, gen), *args, **options)
        except NoAnswerInTime as why:
            if not self._could_cancel():
                door.no_answer(str(why))
            self.pgconn.finish()  # at once: an open transaction would wait for its own end
            raise

    def _could_cancel(self) -> bool:
        """Has the statement ended, through a connection of its own; False where the server takes none either."""
        if not psycopg.capabilities.has_cancel_safe():  # the older way cannot be given up
            return False
        with contextlib.suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_S)
            return True
        return False


class _Driver:
    """The module psycopg as Django uses it, but for what `connect` makes."""

    connect = staticmethod(Connection.connect)

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with connections of that class, which are refused at once while the server is known not to answer."""

    Database = _Driver()  # type: ignore[assignment]  # of a module only what `connect` makes is another

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Raises psycopg.OperationalError, NoAnswerInTime in particular."""
        if patience_s() == float("inf"):
            return super().get_new_connection(conn_params)
        if not door.may_try():
            raise NoAnswerInTime("it did not answer a moment ago")
        try:
            connection = super().get_new_connection(conn_params)
        except psycopg.errors.ConnectionTimeout as why:
            door.no_answer(str(why))
            raise NoAnswerInTime(str(why)) from why
        except Exception:
            door.answered(is_well=False)
            raise
        door.answered()
        return connection


def _until(deadline: float, work: PQGen[Result]) -> PQGen[Result]:
    """The same work; psycopg looks in several times a second while nothing comes."""
    try:
        wanted = next(work)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise NoAnswerInTime("a statement took too long")
            wanted = work.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
