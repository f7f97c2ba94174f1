"""How fast PDFs are read: the product's pool beside PyPDF2 in a loop, in the same run.

Once both are on one core; once the pool has all cores, as it has where it is started for users, and the loop, which
cannot use a second one, stays on its own. The pool is used as the server uses it (`benchmarks/pool_reader.py`): taking
the file in, hashing and spooling it, reading it in an extraction process with every check and second opinion, cleaning
the text and keeping it on disk are all on the clock, and nothing comes from the cache. PyPDF2
(`benchmarks/loop_reader.py`) gets the bytes in memory, does nothing but extract, may fail on single pages, and its
replacement after a crash or a hang is not on the clock. pypdfium2 in such a loop, without any of what the pool does for
safety, says how much of the pool's time is pdfium's own.

A page counts when text came from it. The ratio is taken over files from which both got text, each with its own pages,
the best of its rounds: files on which PyPDF2 hangs would flatter the pool, and files that only one of them reads, or
that the pool reads twice because the first extractor found nothing, say nothing about speed. What came of all files
stands beside it. The goal is for the public files and a long file in one figure; each by itself stands below it, held
against the same goal.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import add
from pathlib import Path

from benchmarks.bench import CORES, ROOT, SHARED, Bench
from benchmarks.figures import Figure, Goal, number
from benchmarks.long_pdf import long_pdf
from benchmarks.processes import Pinned, inherited_environment
from benchmarks.reading_run import FIRST_PAGE, FileRead, Run, Task, load_run, save

POOL, POOL_ON_ALL, PYPDF2, PDFIUM = "pool", "pool on all cores", "PyPDF2", "pypdfium2"
ROUNDS, QUICK_ROUNDS = 5, 2
FIRST_TIMES = 10
"""Measurements of a first page in each round's processes."""
HANG_S, QUICK_HANG_S = 20.0, 5.0
"""Seconds after which PyPDF2 is taken to hang on a public file."""
LONG_LIMIT_S = 300.0
RUN_S = 1800.0
SAMPLE = 100
SEED = 20
GOAL = Goal(6, 9, at_least=True)


@dataclass(frozen=True, slots=True)
class _Rate:
    """Pages from which text came, and the seconds that took on the clock and on the processor."""

    pages: int
    seconds: float
    cpu_s: float

    def __add__(self, other: _Rate) -> _Rate:
        return _Rate(self.pages + other.pages, self.seconds + other.seconds, self.cpu_s + other.cpu_s)

    @property
    def a_second(self) -> float:
        return self.pages / self.seconds

    @property
    def a_cpu_second(self) -> float:
        """What the rate would be if nothing else used the core, and the disk took no time."""
        return self.pages / self.cpu_s

    def __str__(self) -> str:
        return f"{number(self.a_second)}/s ({self.pages:,} pages in {self.seconds:.2f} s, {self.cpu_s:.2f} CPU-s)"


def pages_per_second(bench: Bench) -> list[Figure]:
    """Pages of text a second: over the public files, over a long file of two kinds, and over both in one figure."""
    pages = 200 if bench.quick else 1000
    public = _public_files(bench)
    typeset, plain = (_long_file_rates(bench, pages=pages, plain=plain) for plain in (False, True))
    what, a_file = "PDF pages a second", f"a file of {pages:,} pages"
    if public is None:
        together = []
    else:
        rates, detail = public
        together = [
            *_together(rates, typeset).figures(f"{what}, public files and {a_file} together", "", GOAL),
            *rates.figures(f"{what}, public files", detail, GOAL),
        ]
    return [
        *together,
        *typeset.figures(f"{what}, {a_file}, typeset like the median public page", "", GOAL),
        *plain.figures(f"{what}, {a_file}, one operator a line, the least there is for PyPDF2", "", None),
    ]


def first_page(bench: Bench) -> list[Figure]:
    """From the bytes of a 1,000-page file to the text of its first page, in the server process or out of PyPDF2."""
    path = _long_file(bench, pages=1000, plain=False)
    task = Task([path] * FIRST_TIMES, FIRST_PAGE, LONG_LIMIT_S)
    files: dict[str, list[FileRead]] = {POOL: [], PYPDF2: []}
    for turn in range(_rounds(bench)):
        for reader in _in_turn(turn, (POOL, PYPDF2)):
            files[reader] += _run(bench, reader, task).files
        bench.say(f"  round {turn + 1}: " + ", ".join(f"{name} {_least_ms(files[name]):.1f} ms" for name in files))
    if not all(file.pages for found in files.values() for file in found):
        raise RuntimeError("a first page came without text")
    pool, pypdf2 = _least_ms(files[POOL]), _least_ms(files[PYPDF2])
    reading = 1000 * min(file.seconds - file.taking_in_s for file in files[POOL])
    size = Path(path).stat().st_size / 1e6
    return [
        Figure(
            "time to the first page's text of 1,000",
            pool / pypdf2,
            "× PyPDF2",
            Goal(1 / 5, 1 / 10),
            f"pool {pool:.1f} ms, of which {reading:.1f} ms after the {size:.1f} MB were hashed and spooled; "
            f"PyPDF2 {pypdf2:.1f} ms; least of {len(files[POOL])} each",
        )
    ]


def _public_files(bench: Bench) -> tuple[_Rates, str] | None:
    """The rates over the public files that both can read, and what came of all; None where the files are not here."""
    files = _without_doubles(sorted((SHARED / "pdfs" / "corpus").glob("*.pdf")))
    if not files:
        bench.say(f"  {SHARED / 'pdfs' / 'corpus'} is not here: no figure over public files")
        return None
    if bench.quick:
        files = sorted(random.Random(SEED).sample(files, min(SAMPLE, len(files))))
    limit_s = QUICK_HANG_S if bench.quick else HANG_S
    everything = {name: _run(bench, name, Task(files, limit_s=limit_s)) for name in (POOL, PYPDF2)}
    read = {name: {file.name for file in run.files if file.pages} for name, run in everything.items()}
    both = sorted(read[POOL] & read[PYPDF2])
    if not both:
        raise RuntimeError("there is no public file that both could read")
    bench.say(f"  of {len(files)} public files both read {len(both)}")
    # PyPDF2's first round is what it took for these files when it read all; the pool reads several at once, so anew.
    first = [file for file in everything[PYPDF2].files if file.name in read[POOL] & read[PYPDF2]]
    rates = _Rates({PYPDF2: [_rate_of(first)]})
    task = Task(both, limit_s=limit_s)
    for turn in range(_rounds(bench)):
        for reader in _in_turn(turn, (POOL, POOL_ON_ALL, PYPDF2, PDFIUM)):
            if len(rates.of.get(reader, [])) < _rounds(bench):
                rates.add(reader, _run(bench, reader, task))
    detail = f"the {len(both)} of {len(files)} files that both read; of all files: " + "; ".join(
        (_came_of(POOL, everything[POOL]), _came_of(PYPDF2, everything[PYPDF2]))
    )
    return rates, detail


def _long_file_rates(bench: Bench, *, pages: int, plain: bool) -> _Rates:
    task = Task([_long_file(bench, pages=pages, plain=plain)], limit_s=LONG_LIMIT_S)
    rates = _Rates({})
    for turn in range(_rounds(bench)):
        for reader in _in_turn(turn, (POOL, POOL_ON_ALL, PYPDF2, PDFIUM)):
            rates.add(reader, _run(bench, reader, task))
    if any(rate.pages != pages for found in rates.of.values() for rate in found):
        raise RuntimeError(f"a page of the {pages:,} came without text")
    return rates


def _together(one: _Rates, other: _Rates) -> _Rates:
    """Both read one behind the other, round by round."""
    return _Rates({reader: list(map(add, one.of[reader], other.of[reader])) for reader in one.of})


class _Rates:
    """The rates of all readers over the same files."""

    def __init__(self, of: dict[str, list[_Rate]]) -> None:
        self.of = of

    def add(self, reader: str, run: Run) -> None:
        rate = _Rate(sum(file.pages for file in run.files), run.seconds, run.cpu_s)
        self.of.setdefault(reader, []).append(rate)

    def best(self, reader: str) -> _Rate:
        return max(self.of[reader], key=lambda rate: rate.a_second)

    def figures(self, what: str, detail: str, goal: Goal | None) -> list[Figure]:
        """The pool beside PyPDF2 on one core and on all."""
        pypdf2, bare = self.best(PYPDF2), self.best(PDFIUM)
        by_cpu = max(rate.a_cpu_second for rate in self.of[POOL]) / max(rate.a_cpu_second for rate in self.of[PYPDF2])
        said = (
            f"pool {self.best(POOL)}, PyPDF2 {pypdf2}; best of {len(self.of[POOL])} each; {number(by_cpu)} × by "
            f"processor time; pypdfium2 in a bare loop {number(bare.a_second / pypdf2.a_second)} ×"
        )
        on_all = self.best(POOL_ON_ALL)
        return [
            Figure(
                f"{what}, one core",
                self.best(POOL).a_second / pypdf2.a_second,
                "× PyPDF2",
                goal,
                "; ".join(filter(None, (said, detail))),
            ),
            Figure(
                f"{what}, the pool as it is started ({len(CORES)} cores)",
                on_all.a_second / pypdf2.a_second,
                "× PyPDF2",
                goal,
                f"pool {on_all}, the same PyPDF2",
            ),
        ]


def _came_of(reader: str, run: Run) -> str:
    """How many files and pages gave text, and how long all took, files without text and hangs included."""
    read = [file for file in run.files if file.pages]
    pages = sum(file.pages for file in read)
    words = f"{'pool' if reader == POOL else 'PyPDF2'} text from {len(read)} ({pages:,} pages) in {run.seconds:.1f} s"
    hung = sum(file.problem == "took too long" for file in run.files)
    crashed = sum(file.problem == "crashed" for file in run.files)
    return words + (f", {hung} hung, {crashed} crashed" if reader == PYPDF2 else "")


def _rate_of(files: Iterable[FileRead]) -> _Rate:
    """Of files that were read one after the other."""
    found = list(files)
    return _Rate(
        sum(file.pages for file in found), sum(file.seconds for file in found), sum(file.cpu_s for file in found)
    )


def _least_ms(files: Iterable[FileRead]) -> float:
    return 1000 * min(file.seconds for file in files)


def _rounds(bench: Bench) -> int:
    return QUICK_ROUNDS if bench.quick else ROUNDS


def _in_turn(turn: int, readers: Sequence[str]) -> Sequence[str]:
    return readers if turn % 2 == 0 else readers[::-1]


def _without_doubles(paths: Iterable[Path]) -> list[str]:
    """A file of the same content would be known to the pool already."""
    return sorted({sha256(path.read_bytes()).digest(): str(path) for path in paths}.values())


def _long_file(bench: Bench, *, pages: int, plain: bool) -> str:
    path = bench.folder / f"{'plain' if plain else 'typeset'}-{pages}.pdf"
    path.write_bytes(long_pdf(pages, plain=plain))
    return str(path)


def _run(bench: Bench, reader: str, task: Task) -> Run:
    """The task done by a new process on its core or cores, with a data folder of its own. Raises RuntimeError.

    The folder stays until the bench ends: ext4 looks at every file that was deleted within the last minutes before it
    makes a new one, so that each run would pay for what the one before it had left (the public files on one core: 3.2
    to 3.6 s so, 2.9 s where the folder is in memory).
    """
    folder = Path(tempfile.mkdtemp(prefix="reading-", dir=bench.folder))
    asked, answer, log = str(folder / "task.json"), str(folder / "run.json"), folder / "log"
    save(asked, task)
    environment = inherited_environment() | {"MIVA_DATA_DIR": str(folder / "data"), "MIVA_OCR": "off"}
    module, *library = ["pool_reader"] if reader in (POOL, POOL_ON_ALL) else ["loop_reader", reader]
    command = [sys.executable, "-m", f"benchmarks.{module}", asked, answer, *library]
    with Pinned(
        command,
        core=CORES if reader == POOL_ON_ALL else bench.server_core,
        log=log,
        environment=environment,
        cwd=ROOT,
    ) as process:
        code = process.process.wait(RUN_S)
    if code:
        raise RuntimeError(f"{reader} ended with {code}:\n{log.read_text(errors='replace')[-3000:]}")
    return load_run(answer)
