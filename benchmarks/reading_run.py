"""What a PDF reader is asked and what it says: JSON files between `reading.py` and the reader's process."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

FIRST_PAGE = "first page"
ALL_PAGES = "all pages"


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file: its pages from which text came, and the seconds it took where files were read one after the other.

    `taking_in_s` of these went by before anybody began to read. `problem` is empty, or says why nothing was read.
    """

    name: str
    pages: int
    seconds: float = 0.0
    cpu_s: float = 0.0
    taking_in_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What to read, by path; `limit_s` bounds a file of the reader that does not bound itself."""

    files: list[str]
    what: str = ALL_PAGES
    limit_s: float = 20.0

    def contents(self) -> list[tuple[str, bytes]]:
        """The files in memory, so that no disk is measured."""
        return [(path, Path(path).read_bytes()) for path in self.files]


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a task: seconds on the clock and on the processor, of all its processes."""

    seconds: float
    cpu_s: float
    files: list[FileRead]


def load_task(path: str) -> Task:
    """The task that was saved there."""
    return Task(**json.loads(Path(path).read_text()))


def load_run(path: str) -> Run:
    """The run that was saved there."""
    kept = json.loads(Path(path).read_text())
    return Run(kept["seconds"], kept["cpu_s"], [FileRead(**file) for file in kept["files"]])


def save(path: str, what: Task | Run) -> None:
    """Writes either."""
    Path(path).write_text(json.dumps(dataclasses.asdict(what)))
