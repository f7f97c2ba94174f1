"""The product that is asked: started as `make run` starts it on a fresh data folder, its cost read from the kernel."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import CORES, ROOT, Bench
from benchmarks.processes import Pinned, free_port, inherited_environment, memory_of, process_tree, tree_cpu_seconds
from benchmarks.relays import run
from tests.postgres_server import PostgresServer

SQLITE, POSTGRESQL = "sqlite", "postgresql"
DATABASES = (SQLITE, POSTGRESQL)
_LOOK_S = 0.5


@dataclass(slots=True)
class Running:
    """A product that takes questions at `url`, and its engine at the Unix socket `engine`; `roots` are the processes
    whose trees it is, the server's first."""

    url: str
    engine: Path
    roots: tuple[int, ...]
    peak: int = 0
    """The most bytes that all of them were seen to hold at once (proportional set sizes, twice a second)."""

    def cpu_seconds(self) -> float:
        """Processor time (user and system) of all of them so far, the database's included."""
        return sum(tree_cpu_seconds(root) for root in self.roots)

    def held(self) -> int:
        """Bytes that they hold now."""
        return self.held_by_server() + self.held_by_database()

    def held_by_server(self) -> int:
        """By the server, the engine and the readers."""
        return _held_by(self.roots[0])

    def held_by_database(self) -> int:
        """By PostgreSQL, whose cache grows with what is written, up to a bound of its own."""
        return sum(map(_held_by, self.roots[1:]))

    def look(self) -> None:
        """Notes how much memory they hold now."""
        self.peak = max(self.peak, self.held())


def _held_by(root: int) -> int:
    return sum(memory_of(pid) for pid in process_tree(root))


@contextmanager
def product(bench: Bench, database: str, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`manage.py serve` with its own engine on all cores; `settings` go on top of what a load from one place needs."""
    port = free_port()
    folder = bench.folder / f"{database}-{port}"
    folder.mkdir()
    environment = inherited_environment() | {
        "PORT": str(port),
        "MIVA_DATA_DIR": str(folder / "data"),
        "MIVA_RATE": "100000000/min",
        "MIVA_OCR": "off",
    }
    environment |= dict(settings or {})
    with ExitStack() as stack:
        roots = []
        if database == POSTGRESQL:
            server = PostgresServer(fsync="on")
            stack.callback(server.close)
            server.start()
            assert server.process is not None
            roots.append(server.process.pid)
            environment["DATABASE_URL"] = server.new_database()
            run([sys.executable, "manage.py", "migrate"], environment)
        log = folder / "server.log"
        command = [sys.executable, "manage.py", "serve"]
        served = stack.enter_context(Pinned(command, core=CORES, log=log, environment=environment, cwd=ROOT))
        served.wait_for_port(port)
        engine = folder / "data" / "engine" / "engine.sock"
        running = Running(f"ws://127.0.0.1:{port}/ws/chat/", engine, (served.process.pid, *roots))
        stack.enter_context(_watched(running))
        try:
            yield running
        except Exception as why:
            if said := log.read_text(errors="replace")[-2000:]:
                why.add_note(f"The server said at last:\n{said}")
            raise


@contextmanager
def _watched(running: Running) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            running.look()

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        running.look()
        over.set()
        watcher.join()


class Stopwatch:
    """Seconds on the clock and on the processor since it was made."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.began = time.perf_counter()
        self._cpu = running.cpu_seconds()

    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def cpu_s(self) -> float:
        return self._running.cpu_seconds() - self._cpu
