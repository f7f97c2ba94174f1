"""Processes that are measured: started on one core, their processor time and memory read from the kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.processes import free_port, process_tree

__all__ = ["Pinned", "free_port", "inherited_environment", "process_tree", "tree_cpu_seconds"]

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 60.0
_OURS = ("MIVA_", "REDIS_", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "CSRF_", "HOST", "PORT", "DJANGO_")


def inherited_environment() -> dict[str, str]:
    """This process's environment without any setting of the product."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


class Pinned:
    """A process (and all it starts) on one core or on some, in a session of its own; output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | Sequence[int],
        log: Path,
        environment: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        cores = {core} if isinstance(core, int) else set(core)
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def wait_for_port(self, port: int, seconds: float = START_S) -> None:
        """Returns when something accepts connections there; raises RuntimeError with the log's end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{' '.join(map(str, self.process.args))} did not start:\n{self.log.read_text()[-3000:]}")  # type: ignore[arg-type]

    @property
    def pids(self) -> list[int]:
        return process_tree(self.process.pid)

    def cpu_seconds(self) -> float:
        """Processor time (user and system) of the tree so far."""
        return tree_cpu_seconds(self.process.pid)

    def memory(self) -> int:
        """Bytes that the tree holds: the sum of the proportional set sizes, so that shared pages count once."""
        return sum(memory_of(pid) for pid in self.pids)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is still there five seconds later."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Pinned:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tree_cpu_seconds(root: int) -> float:
    """Processor time (user and system) of a process and all below it so far.

    Nanosecond clocks of what lives; ticks of 10 ms for children that have ended (a pool replaces its own).
    """
    return sum(_run_time(pid) + _ended_children_time(pid) for pid in process_tree(root))


def _ended_children_time(pid: int) -> float:
    """Seconds of children that were waited for, and of theirs (cutime and cstime; proc(5))."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / TICKS
    return 0.0


def _run_time(pid: int) -> float:
    """Seconds on a processor, of all threads (/proc/…/schedstat: nanoseconds, of one thread each; proc(5))."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def move(pid: int, core: int) -> None:
    """Puts a process with all of its threads on another core."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def memory_of(pid: int) -> int:
    """Bytes that one process holds: its proportional set size; 0 where it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now, shared ones included; 0 where it is gone."""
    return _status(pid, "VmRSS:")


def reset_peak(pid: int) -> None:
    """Lets the peak of a process begin anew (/proc/…/clear_refs, proc(5))."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_since_reset(pid: int) -> int:
    """The most that `resident` has been since; the kernel's own count, so no peak is missed."""
    return _status(pid, "VmHWM:")


def _status(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
