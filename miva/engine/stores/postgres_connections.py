"""A few connections to PostgreSQL for several threads, each answer waited for only so long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from miva.engine.stores.base import StoreError

CONNECTIONS = 4
CONNECT_S = 5
READ_S = 10.0
WRITE_S = 120.0

Result = TypeVar("Result")
Row: TypeAlias = tuple[Any, ...]

# The operators of pgvector are found wherever an administrator has put the extension.
SEARCH_PATH = """
SELECT set_config('search_path', concat_ws(', ', 'miva_engine', (
    SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'vector')), false)
"""


class Silence(psycopg.OperationalError):
    """The server took longer than was to be waited for."""


class Connection(psycopg.Connection[Row]):
    """A connection that gives up on a server that does not answer: libpq alone waits for ever."""

    patience_s = READ_S
    """For one statement."""

    def wait(self, gen: PQGen[Result], *args: Any, **options: Any) -> Result:
        try:
            return super().wait(_until(time.monotonic() + self.patience_s, gen), *args, **options)
        except Silence:
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=1)
            self.pgconn.finish()  # at once: an open transaction would wait for its own end
            raise


def _until(deadline: float, work: PQGen[Result]) -> PQGen[Result]:
    """The same work; psycopg looks in several times a second while nothing comes. (The relay's database backend has
    its own of this: the engine imports nothing of the relay.)"""
    try:
        wanted = next(work)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise Silence("the database did not answer in time")
            wanted = work.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


class PostgresDatabase:
    """A pool of connections. What a connection cannot do for being broken is done once more on a new one."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet. Raises `StoreError` where the address makes no sense."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:  # its text may hold the password
            raise StoreError("The address of the PostgreSQL database cannot be read. Look at DATABASE_URL.") from None
        defaults = {"connect_timeout": CONNECT_S, "application_name": "miva-engine", "tcp_user_timeout": 20_000}
        self._options: dict[str, Any] = defaults | given
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def run(self, work: Callable[[Connection], Result], patience_s: float = READ_S) -> Result:
        """What `work` returns; it may be called twice, so doing it again must be right.

        `patience_s` is for each of its statements. Raises `StoreError`.
        """
        if not self._free.acquire(timeout=patience_s):
            raise StoreError("The database is too busy: no connection became free in time.")
        try:
            return self._run(work, patience_s)
        except psycopg.Error as error:
            raise StoreError(_in_words(error)) from error
        finally:
            self._free.release()

    def query(
        self, sql: str, parameters: Sequence[object] = (), *, is_binary: bool = False, patience_s: float = READ_S
    ) -> list[Row]:
        """The rows of one statement; `is_binary` is how they travel (as text, bytes would be twice as many). Raises
        `StoreError`."""
        return self.run(lambda connection: connection.execute(sql, parameters, binary=is_binary).fetchall(), patience_s)

    def close(self) -> None:
        """Closes the connections; one that is at work when its work is done."""
        self._closed = True
        self._drop_idle()

    def _run(self, work: Callable[[Connection], Result], patience_s: float) -> Result:
        connection = self._take()
        try:
            return self._use(connection, work, patience_s)
        except Silence:
            raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            again = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
            if not connection.closed and not isinstance(error, again):
                raise
            self._drop_idle()  # a server that was restarted knows none of them
            return self._use(self._connect(), work, patience_s)

    def _use(self, connection: Connection, work: Callable[[Connection], Result], patience_s: float) -> Result:
        connection.patience_s = patience_s
        try:
            return work(connection)
        finally:
            self._give_back(connection)

    def _take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _connect(self) -> Connection:
        # No prepared statements: plans are to fit the documents asked for, and poolers in between cannot keep them.
        connection = Connection.connect(**self._options, autocommit=True, prepare_threshold=None)
        connection.execute(SEARCH_PATH)
        return connection

    def _give_back(self, connection: Connection) -> None:
        idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if idle and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            connection.close()


def _in_words(error: psycopg.Error) -> str:
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    what_to_do = " Look at DATABASE_URL, and whether its server runs."
    # Of other errors the server's own words are all there is to say.
    return f"The PostgreSQL database cannot be used: {said}." + what_to_do * isinstance(error, psycopg.OperationalError)
