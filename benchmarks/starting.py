"""How long a newcomer waits: from `git clone` to the first answer with `make run`, and the second time.

What is cloned is the last commit, into an empty folder, with no setting of the product in the environment; what is
asked is a small PDF's question over the plain dialect, answered by the embedded engine. The product has the whole
machine, as it has for a newcomer, and is not confined to a core. The packages are in the installer's cache: a first
clone, which is not measured, has had them installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from websockets.asyncio.client import connect

from benchmarks.bench import ROOT, Bench
from benchmarks.figures import Figure, Goal
from benchmarks.processes import free_port, inherited_environment
from miva.sample_pdf import GOLD, QUESTION, sample_pdf

READY = "Miva is ready"
CLONES, SECOND_STARTS = 2, 3
"""How often each is done; the least counts. The quick version does each once."""
INSTALL_S = 600.0
ANSWER_S = 60.0
STOP_S = 15.0
_NOT_A_NEWCOMERS = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "VIRTUAL_ENV", "PYTHON")
"""What an environment or a make around this one sets; PYTHON… for one may forbid to keep compiled modules."""


def first_answer(bench: Bench) -> list[Figure]:
    """Seconds from the start of `git clone` to the first answer, and from a later `make run` in the same folder."""
    with _clone(bench) as clone:
        began = time.perf_counter()
        _make(clone, ".venv/.installed")
        bench.say(f"  the installer's cache is warm, after {time.perf_counter() - began:.1f} s")
    first: list[_Wait] = []
    second: list[_Wait] = []
    for _ in range(1 if bench.quick else CLONES):
        began = time.perf_counter()
        with _clone(bench) as clone:
            first.append(_first_answer(clone, began))
            bench.say(f"  from a clean clone: {first[-1]}")
            for _ in range(1 if bench.quick else SECOND_STARTS):
                second.append(_first_answer(clone, time.perf_counter()))
                bench.say(f"  once more in the same folder: {second[-1]}")
    return [
        _figure("clean clone to the first answer with make run, packages in the cache", first, Goal(60, 30)),
        _figure("make run to the first answer, second start", second, Goal(5, 3)),
    ]


class _Wait:
    """Seconds until the line that says it is ready, and until the first answer."""

    def __init__(self, ready: float, answered: float) -> None:
        self.ready = ready
        self.answered = answered

    def __str__(self) -> str:
        return f"ready after {self.ready:.1f} s, answered after {self.answered:.1f} s"


def _figure(what: str, waits: list[_Wait], goal: Goal) -> Figure:
    least = min(waits, key=lambda wait: wait.answered)
    return Figure(what, least.answered, "s", goal, f"{least}; least of {len(waits)}")


def _first_answer(clone: Path, began: float) -> _Wait:
    """Starts `make run`, asks, and stops it with all that it started. Raises RuntimeError."""
    port = free_port()
    log = clone.parent / "make.log"
    with log.open("w+") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=clone,
            env=_environment() | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, log)
            ready = time.perf_counter() - began
            # Another file each time: the text of one that was read before is kept.
            answer = asyncio.run(_ask(port, sample_pdf(10_000 + int(time.time_ns() % 10_000))))
            answered = time.perf_counter() - began
        finally:
            left = _stop(process, clone)
    if GOLD not in answer:
        raise RuntimeError(f"the first answer does not say {GOLD}: {answer[:500]}")
    if left:
        raise RuntimeError(f"make run left processes behind when it was stopped: {left}")
    return _Wait(ready, answered)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + INSTALL_S
    while READY not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"make run did not become ready:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.01)


async def _ask(port: int, pdf: bytes) -> str:
    """The first frame that comes back."""
    file = {"name": "lighthouse.pdf", "type": "application/pdf", "content": base64.b64encode(pdf).decode()}
    question = {"message": QUESTION, "type": "chat", "unique_id": str(uuid4()), "file": file}
    async with connect(f"ws://127.0.0.1:{port}/ws/chat/", compression=None, proxy=None) as socket:
        await socket.send(json.dumps(question))
        answer = await asyncio.wait_for(socket.recv(), ANSWER_S)
    return answer if isinstance(answer, str) else answer.decode()


def _stop(process: subprocess.Popen[bytes], clone: Path) -> list[str]:
    """Ctrl-C for make and its group; what is left of the folder's processes after a while, which is then killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_S
    while (left := _processes_of(clone)) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(STOP_S)
    return list(left.values())


def _processes_of(clone: Path) -> dict[int, str]:
    """The command lines of processes that work in the folder or were started with a path in it, by process id."""
    inside = f"{clone}/"
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
            # A process that has ended and was not waited for has neither.
            if command and (f"{(entry / 'cwd').readlink()}/".startswith(inside) or inside in command):
                found[int(entry.name)] = command
    return found


@contextmanager
def _clone(bench: Bench) -> Iterator[Path]:
    """The last commit in a folder of its own, which is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="clone-", dir=bench.folder)).resolve()
    try:
        # --no-local: copied as from another machine, not linked to this repository's files.
        command = ["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder / "miva")]
        subprocess.run(command, check=True, env=_environment())
        yield folder / "miva"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(clone: Path, target: str) -> None:
    done = subprocess.run(
        ["make", target], cwd=clone, env=_environment(), text=True, capture_output=True, timeout=INSTALL_S
    )
    if done.returncode:
        raise RuntimeError(f"make {target} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _environment() -> dict[str, str]:
    """As in a newcomer's terminal: no setting of the product, none of Python's, nothing of a make around this one."""
    return {name: value for name, value in inherited_environment().items() if not name.startswith(_NOT_A_NEWCOMERS)}
