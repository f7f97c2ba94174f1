"""The pool survives whatever a file, a client or an administrator does to its processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path

import PyPDF2
import pytest

from miva.documents.extraction import Listener
from miva.documents.pool import Pool
from miva.documents.slot import Slot
from miva.protocol import errors
from tests.documents.helpers import (
    SECONDS,
    alive,
    bomb_pdf,
    computing,
    eventually,
    hanging_pdf,
    needs_proc,
    submit,
    text_of,
    workers,
    zygotes,
)
from tests.pdfs import assemble, make_pdf

MakePool = Callable[..., Pool]
HANGS = {"engines": ("pypdf2",), "stall_s": 60.0}
"""With these limits the hanging PDF runs until somebody stops it."""


def test_a_file_that_hangs_is_stopped_and_the_next_one_is_read(make_pool: MakePool) -> None:
    pool = make_pool(engines=("pypdf2",), stall_s=3.0)
    with pytest.raises(errors.ExtractionTimeout):
        submit(pool, hanging_pdf()).result(timeout=SECONDS)
    assert text_of(pool) == "still working"


def test_pdfium_stands_in_where_pypdf2_hangs(make_pool: MakePool) -> None:
    found = submit(make_pool(engines=("pypdf2", "pdfium"), stall_s=3.0), hanging_pdf()).result(timeout=SECONDS)
    assert (found.pages, found.extractor) == (("seen by pdfium",), "pdfium")


def test_the_time_limit_counts_although_pages_keep_coming(make_pool: MakePool) -> None:
    pool = make_pool(timeout_s=0.3)
    text_of(make_pool())  # pre-warm the disk cache, so that the start is not what is measured
    with pytest.raises(errors.ExtractionTimeout):
        submit(pool, make_pdf(["\n".join(["word " * 20] * 60)] * 3000)).result(timeout=SECONDS)
    assert text_of(pool) == "still working"


def test_a_file_that_needs_too_much_memory_is_stopped_and_the_next_one_is_read(make_pool: MakePool) -> None:
    pool = make_pool(memory_mb=256, engines=("pdfium",))
    with pytest.raises(errors.ExtractionMemory):
        submit(pool, bomb_pdf(300)).result(timeout=SECONDS)
    assert text_of(pool) == "still working"


@needs_proc
@pytest.mark.parametrize("ending", [signal.SIGSEGV, signal.SIGILL, signal.SIGTRAP])
def test_a_crash_while_reading_is_a_broken_pdf_and_nothing_else(make_pool: MakePool, ending: signal.Signals) -> None:
    pool = make_pool(**HANGS)
    reading = submit(pool, hanging_pdf())
    [worker] = eventually(computing)
    os.kill(worker, ending)
    with pytest.raises(errors.BrokenPdf):
        reading.result(timeout=SECONDS)
    assert text_of(pool) == "still working"


def test_a_file_without_pages_is_broken_whatever_was_read_before(make_pool: MakePool) -> None:
    pool = make_pool(engines=("pdfium",))
    writer = PyPDF2.PdfWriter()
    writer.add_blank_page(72, 72)
    writer.encrypt("user", "owner")
    locked = io.BytesIO()
    writer.write(locked)
    empty = assemble([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 0/Kids[]>>"])
    for data, refusal in (
        (empty, errors.BrokenPdf),
        (locked.getvalue(), errors.EncryptedPdf),
        (empty, errors.BrokenPdf),
    ):
        with pytest.raises(refusal):
            submit(pool, data).result(timeout=SECONDS)


@needs_proc
def test_a_worker_killed_from_outside_costs_a_second_try_and_no_answer(make_pool: MakePool) -> None:
    pool = make_pool()
    seen = threading.Event()
    go_on = threading.Event()

    def on_progress(done: int, total: int) -> None:
        seen.set()
        go_on.wait(SECONDS)

    pages = [f"page {number} " + "x" * 3000 for number in range(1, 401)]
    reading = submit(pool, make_pdf(pages), listener=Listener(on_progress))
    assert seen.wait(SECONDS)
    for worker in workers():
        os.kill(worker, signal.SIGKILL)
    go_on.set()
    assert [page.split()[1] for page in reading.result(timeout=SECONDS).pages] == [str(n) for n in range(1, 401)]


@needs_proc
def test_idle_processes_killed_from_outside_are_replaced(make_pool: MakePool) -> None:
    pool = make_pool()
    assert text_of(pool) == "still working"
    for process in [*workers(), *zygotes()]:
        os.kill(process, signal.SIGKILL)
        eventually(partial(gone, process))
        assert text_of(pool) == "still working"


@needs_proc
def test_cancelling_kills_the_process_and_frees_its_place(make_pool: MakePool) -> None:
    pool = make_pool(**HANGS)
    reading = submit(pool, hanging_pdf())
    [worker] = eventually(computing)
    reading.cancel()
    eventually(partial(gone, worker))
    with pytest.raises(CancelledError):
        reading.result(timeout=SECONDS)
    assert text_of(pool) == "still working"


def test_cancelling_a_waiting_file_means_it_is_never_read(make_pool: MakePool) -> None:
    pool = make_pool()
    ran: list[str] = []
    go_on = threading.Event()
    first = pool.submit(lambda slot: go_on.wait(SECONDS))
    second = pool.submit(lambda slot: ran.append("second"))
    second.cancel()
    third = pool.submit(lambda slot: ran.append("third"))
    go_on.set()
    first.result(timeout=SECONDS)
    third.result(timeout=SECONDS)
    assert ran == ["third"]


@needs_proc
def test_a_process_is_replaced_after_its_share_of_jobs(make_pool: MakePool) -> None:
    pool = make_pool(jobs_per_worker=3)
    seen = []
    for _ in range(7):
        text_of(pool)
        seen.append(frozenset(workers()))
    assert len({worker for group in seen for worker in group}) >= 3
    assert len(seen[-1]) <= 2  # the place for PDFs and the one for quick tasks


def test_too_many_waiting_files_are_refused_as_busy(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    go_on, running = threading.Event(), threading.Event()

    def block(slot: Slot) -> None:
        running.set()
        go_on.wait(SECONDS)

    first = pool.submit(block)
    assert running.wait(SECONDS)
    waiting = [pool.submit(lambda slot: "read") for _ in range(2)]
    with pytest.raises(errors.Busy):
        pool.submit(lambda slot: None)
    go_on.set()
    first.result(timeout=SECONDS)
    assert [future.result(timeout=SECONDS) for future in waiting] == ["read", "read"]


def test_a_file_that_waits_too_long_is_answered_with_busy(make_pool: MakePool) -> None:
    pool = make_pool(max_wait_s=4.0)
    go_on, running = threading.Event(), threading.Event()

    def block(slot: Slot) -> bool:
        running.set()
        return go_on.wait(SECONDS)

    first = pool.submit(block)
    assert running.wait(SECONDS)
    with pytest.raises(errors.Busy):
        pool.submit(lambda slot: None).result(timeout=SECONDS)
    go_on.set()
    assert first.result(timeout=SECONDS)


def test_one_owner_never_holds_all_places(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    go_on = threading.Event()
    hers = [pool.submit(lambda slot: go_on.wait(SECONDS), owner="alice") for _ in range(5)]
    assert pool.submit(lambda slot: "bob is served", owner="bob").result(timeout=SECONDS) == "bob is served"
    go_on.set()
    assert all(future.result(timeout=SECONDS) for future in hers)


def test_a_small_file_overtakes_large_ones(make_pool: MakePool) -> None:
    pool = make_pool()
    order: list[str] = []
    go_on, running = threading.Event(), threading.Event()

    def block(slot: Slot) -> None:
        running.set()
        go_on.wait(SECONDS)

    pool.submit(block)
    assert running.wait(SECONDS)
    futures = [pool.submit(lambda slot: order.append("large"), size=50 * 2**20)]
    futures.append(pool.submit(lambda slot: order.append("small"), size=1000))
    go_on.set()
    for future in futures:
        future.result(timeout=SECONDS)
    assert order == ["small", "large"]


def test_quick_tasks_have_a_place_of_their_own(make_pool: MakePool) -> None:
    pool = make_pool()
    go_on = threading.Event()
    slow = pool.submit(lambda slot: go_on.wait(SECONDS))
    assert pool.submit(lambda slot: "decoded", quick=True).result(timeout=SECONDS) == "decoded"
    go_on.set()
    assert slow.result(timeout=SECONDS)


@needs_proc
def test_stopping_answers_everybody_and_leaves_no_process(make_pool: MakePool) -> None:
    pool = make_pool(**HANGS)
    readings = [submit(pool, hanging_pdf()) for _ in range(3)]
    eventually(workers)
    processes = [*workers(), *zygotes()]
    pool.stop()
    for reading in readings:
        with pytest.raises(errors.Busy):
            reading.result(timeout=SECONDS)
    assert not [process for process in processes if alive(process)]
    assert not zombies()


@needs_proc
def test_no_descriptor_and_no_zombie_is_left_by_kills_and_replacements(make_pool: MakePool) -> None:
    pool = make_pool(**HANGS, jobs_per_worker=2)
    text_of(pool)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        reading = submit(pool, hanging_pdf())
        eventually(computing)
        reading.cancel()
        assert text_of(pool) == "still working"
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert not zombies()
    assert not [pid for zygote in zygotes() for pid in zombies(zygote)]


@needs_proc
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_all_processes_vanish_with_the_server(ending: signal.Signals, tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from tests.documents.helpers import hanging_pdf, submit\n"
        "from miva.documents.limits import Limits\n"
        "from miva.documents.pool import Pool\n"
        "pool = Pool(Limits(workers=2, engines=('pypdf2',), stall_s=60.0))\n"
        "readings = [submit(pool, hanging_pdf()) for _ in range(2)]\n"
        "time.sleep(600)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    try:
        eventually(lambda: len(workers(server.pid)) == 3)
        processes = [*workers(server.pid), *zygotes(server.pid)]
        time.sleep(0.3)  # so that the files are being read
        server.send_signal(ending)
        server.wait(timeout=SECONDS)
        eventually(lambda: not [process for process in processes if alive(process)])
    finally:
        server.kill()
        server.wait()


@needs_proc
def test_workers_vanish_with_a_killed_fork_server(make_pool: MakePool) -> None:
    pool = make_pool(**HANGS)
    submit(pool, hanging_pdf())
    running = eventually(workers)
    [zygote] = zygotes()
    os.kill(zygote, signal.SIGKILL)
    eventually(lambda: not [worker for worker in running if alive(worker)])


@needs_proc
def test_a_worker_has_few_descriptors_and_knows_nothing_of_django(make_pool: MakePool) -> None:
    with open(os.devnull) as secret:
        os.set_inheritable(secret.fileno(), True)
        pool = make_pool()
        text_of(pool)
        for worker in workers():
            assert len(os.listdir(f"/proc/{worker}/fd")) <= 8
            assert str(Path(f"/proc/{worker}/environ").read_bytes()).count("SECRET") == 0
            loaded = Path(f"/proc/{worker}/maps").read_text()
            assert "pdfium" in loaded
    code = "import sys, miva.documents.zygote; print([name for name in sys.modules if 'django' in name])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def gone(process: int) -> bool:
    """Whether a process has ended."""
    return not alive(process)


def zombies(parent: int | None = None) -> list[str]:
    """Children that have ended and that nobody has asked about."""
    everybody = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in everybody.splitlines()]
    mine = str(parent or os.getpid())
    return [" ".join(row) for row in rows if row[1] == mine and row[2].startswith("Z")]
