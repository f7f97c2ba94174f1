"""The databases under the durable path: SQLite, which the product has by itself, and a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench
from benchmarks.processes import move, process_tree, tree_cpu_seconds
from tests.postgres_server import PostgresServer

SQLITE, POSTGRES = "SQLite", "PostgreSQL"


class Postgres:
    """A running PostgreSQL as it is when nothing is set: each commit waits for the disk."""

    def __init__(self, server: PostgresServer, pid: int) -> None:
        self._server = server
        self._pid = pid

    def new_database(self) -> str:
        """The DATABASE_URL of an empty database."""
        return self._server.new_database()

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        return tree_cpu_seconds(self._pid)


@contextmanager
def postgres(bench: Bench) -> Iterator[Postgres]:
    """PostgreSQL on the load's core."""
    server = PostgresServer(fsync="on")
    try:
        server.start()
        assert server.process is not None
        for pid in process_tree(server.process.pid):  # those that it starts later inherit the core
            move(pid, bench.load_core)
        yield Postgres(server, server.process.pid)
    finally:  # also where the run is told to end while it starts
        server.close()
