"""Reads PDFs in a loop, in a process for a core: `python -m benchmarks.loop_reader TASK RUN PyPDF2` (or `pypdfium2`).

The loop runs in a forked child, which reads file after file; where a library hangs or crashes the child is replaced,
and the loop goes on with the next file. Forking is not on the clock.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import PyPDF2
import pypdfium2

from benchmarks.reading_run import ALL_PAGES, FIRST_PAGE, FileRead, Run, load_task, save
from miva.sample_pdf import sample_pdf

_MEMORY = 4 * 2**30
"""Bytes after which a library gets a MemoryError: PyPDF2 took 1.9 GB for a public file (design section 4)."""

Read = Callable[[bytes], int]


def main() -> None:
    """Does the task named on the command line and writes down what came of it."""
    task = load_task(sys.argv[1])
    read = _READS[sys.argv[3], task.what]
    warnings.simplefilter("ignore")
    read(sample_pdf(1000))  # whatever is made at the first use
    done = _read_files(task.contents(), read, task.limit_s)
    save(sys.argv[2], Run(sum(file.seconds for file in done), sum(file.cpu_s for file in done), done))


def _pypdf2(data: bytes) -> int:
    """How many pages have text. A page that fails does not end the loop, which is more than most loops do."""
    document = PyPDF2.PdfReader(BytesIO(data))
    if document.is_encrypted:
        document.decrypt("")
    found = 0
    for number in range(len(document.pages)):
        try:
            found += bool(document.pages[number].extract_text().strip())
        except Exception:
            continue
    return found


def _pypdf2_first_page(data: bytes) -> int:
    return int(bool(PyPDF2.PdfReader(BytesIO(data)).pages[0].extract_text().strip()))


def _pypdfium2(data: bytes) -> int:
    """The same with pdfium and no more: no look at what a page really holds, no repair of its words."""
    document = pypdfium2.PdfDocument(data)
    found = 0
    for number in range(len(document)):
        try:
            page = document[number]
            found += bool(page.get_textpage().get_text_range().strip())
            page.close()
        except pypdfium2.PdfiumError:
            continue
    document.close()
    return found


_READS: dict[tuple[str, str], Read] = {
    ("PyPDF2", ALL_PAGES): _pypdf2,
    ("PyPDF2", FIRST_PAGE): _pypdf2_first_page,
    ("pypdfium2", ALL_PAGES): _pypdfium2,
}


def _read_files(files: Sequence[tuple[str, bytes]], read: Read, limit_s: float) -> list[FileRead]:
    done: list[FileRead] = []
    while len(done) < len(files):
        child = _Child(files[len(done) :], read)
        problem, lost_s = "crashed", 0.0
        try:
            while len(done) < len(files) and (answer := child.answer(limit_s)):
                done.append(answer)
        except TimeoutError:
            problem, lost_s = "took too long", limit_s
        finally:
            child.end()
        if len(done) < len(files):
            done.append(FileRead(files[len(done)][0], 0, lost_s, problem=problem))
    return done


class _Child:
    """A forked copy of this process that reads the files and says a line about each."""

    def __init__(self, files: Sequence[tuple[str, bytes]], read: Read) -> None:
        ours, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _serve(files, read, theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        self._lines = os.fdopen(ours, "rb", buffering=0)

    def answer(self, limit_s: float) -> FileRead | None:
        """About the next file; None where the child has ended. Raises TimeoutError."""
        ready, _, _ = select.select([self._lines], [], [], limit_s)
        if not ready:
            raise TimeoutError
        line = self._lines.readline()
        return FileRead(**json.loads(line)) if line else None

    def end(self) -> None:
        self._lines.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve(files: Sequence[tuple[str, bytes]], read: Read, answers: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nowhere, number)
    for name, data in files:
        problem, pages = "", 0
        began, cpu_before = time.perf_counter(), time.process_time()
        try:
            pages = read(data)
        except Exception as why:
            problem = type(why).__name__
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before
        answer = {"name": name, "pages": pages, "seconds": seconds, "cpu_s": cpu_s, "problem": problem}
        os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
