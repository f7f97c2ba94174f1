"""Reads PDFs as the server does, in a process for a core: `python -m benchmarks.pool_reader TASK RUN`.

The facade `miva.documents.reader` on uvloop, its pool started and warm, MIVA_DATA_DIR a fresh folder: the bytes are
received and hashed, spooled, read in an extraction process, and the text is kept on disk, all of which counts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import django
import uvloop

from benchmarks.processes import tree_cpu_seconds
from benchmarks.reading_run import FIRST_PAGE, FileRead, Run, load_task, save
from miva.sample_pdf import sample_pdf

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")
django.setup()

from miva.allocator import end_of_start, use_few_arenas  # noqa: E402 (Django must be set up before)
from miva.documents import reader  # noqa: E402
from miva.protocol.errors import MivaError  # noqa: E402


def main() -> None:
    """Does the task named on the command line and writes down what came of it."""
    use_few_arenas()
    task = load_task(sys.argv[1])
    files = task.contents()
    reader.start()
    end_of_start()
    try:
        save(sys.argv[2], uvloop.run(_first_pages(files) if task.what == FIRST_PAGE else _all_pages(files)))
    finally:
        reader.stop()


async def _all_pages(files: Sequence[tuple[str, bytes]]) -> Run:
    at_once = 2 * reader.current_limits().workers
    await _warm_up(at_once)
    todo, done = iter(files), list[FileRead]()

    async def some() -> None:
        for name, data in todo:
            done.append(await _read(name, data))

    cpu_before, began = tree_cpu_seconds(os.getpid()), time.perf_counter()
    await asyncio.gather(*(some() for _ in range(at_once)))
    seconds = time.perf_counter() - began
    return Run(seconds, tree_cpu_seconds(os.getpid()) - cpu_before, done)


async def _first_pages(files: Sequence[tuple[str, bytes]]) -> Run:
    """Each file by itself, until the event loop knows of the first page, whose text is then in this process."""
    await _warm_up(2 * reader.current_limits().workers)
    loop = asyncio.get_running_loop()
    done = []
    for name, data in files:
        first = loop.create_future()

        def tell(pages: int, _: int, first: asyncio.Future[float] = first) -> None:
            if pages == 1:
                loop.call_soon_threadsafe(lambda: first.set_result(time.perf_counter()))

        began = time.perf_counter()
        received = await asyncio.to_thread(reader.receive_chunks, [data], name=name, declared="application/pdf")
        taken_in = time.perf_counter()
        reading = await reader.read(received, listener=reader.Listener(tell))
        received.discard()
        done.append(FileRead(name, bool(reading.pages[0].strip()), await first - began, taking_in_s=taken_in - began))
        reader.forget(reading.sha256)
    return Run(sum(file.seconds for file in done), 0.0, done)


async def _warm_up(files: int) -> None:
    """Every extraction process has read something, as in a server that has run for a while."""
    samples = [sample_pdf(1000 + number) for number in range(4 * files)]
    for outcome in await asyncio.gather(*(_read("sample.pdf", data) for data in samples)):
        if outcome.problem:
            raise RuntimeError(f"the pool does not read a small PDF: {outcome.problem}")


async def _read(name: str, data: bytes) -> FileRead:
    try:
        reading = await reader.read_chunks([data], name=name, declared="application/pdf")
    except MivaError as why:
        return FileRead(name, 0, problem=why.code)
    return FileRead(name, sum(bool(page.strip()) for page in reading.pages))


if __name__ == "__main__":
    main()
