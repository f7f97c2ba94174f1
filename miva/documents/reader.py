"""The door to reading documents: receive bytes, read their text once, know it again.

Whatever is wrong with a client's file is raised as a MivaError that a person can be shown.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from . import base64_intake, extraction, intake, store
from .extraction import Listener
from .intake import PDF, Received
from .limits import Limits
from .pool import Pool
from .shared import SharedReadings
from .slot import Slot
from .store import Original, Reading, forget, is_kept, keep_original, original
from .temporary import TemporaryFolder

__all__ = [
    "Listener", "Original", "Reading", "Received", "files_read", "forget", "is_kept", "keep", "keep_original", "known",
    "original", "read", "read_base64", "read_chunks", "receive_base64", "receive_chunks", "start", "stop",
    "text_name",
]  # fmt: skip

T = TypeVar("T")


class _Running:
    """The pool and the temporary folder of this process."""

    def __init__(self) -> None:
        self.limits = current_limits()
        self.folder = TemporaryFolder(Path(settings.MIVA_DATA_DIR) / "tmp")
        self.pool = Pool(self.limits)
        self.shared = SharedReadings()
        self.files_read = 0


_running: _Running | None = None
_lock = threading.Lock()


def _threads_to_begin_in() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="reading")


_beginners = _threads_to_begin_in()


def start() -> None:
    """Starts the extraction processes ahead of the first file. Done at the first file otherwise."""
    _get_running()


def stop() -> None:
    """Ends the extraction processes; who still waits for a file gets Busy. A later call starts new ones."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None:
        running.pool.stop()
        running.folder.close()


async def read_base64(
    content: str, *, name: str, declared: str, password: str | None = None, owner: str | None = None
) -> Reading:
    """The text of a file whose base64 stood in a frame and that is not kept; `declared` as in `receive_base64`.

    Raises what `receive_base64` and `read` raise.
    """
    if len(content) <= base64_intake.IN_THREAD:
        chunks = base64_intake.decode(content)
        return await read_chunks(chunks, name=name, declared=declared, password=password, owner=owner)
    received = await receive_base64(content, name=name, declared=declared)
    try:
        return await read(received, password=password, owner=owner)
    finally:
        received.discard()


async def read_chunks(
    chunks: Iterable[bytes], *, name: str, declared: str, password: str | None = None, owner: str | None = None
) -> Reading:
    """The text of a file that comes in chunks of bytes and is not kept. Raises what `receive_chunks` and `read` raise.

    Taking it in and looking whether it is known are one step in one thread: for a small file that is a tenth of all.
    """

    def begin(outcome: Future[Reading]) -> None:
        received = receive_chunks(chunks, name=name, declared=declared)
        try:
            _begin(received, password, Listener(), owner, outcome)
        finally:
            received.discard()  # whoever reads it has opened it

    return await _outcome(begin)


async def receive_base64(content: str, *, name: str, declared: str) -> Received:
    """The file whose base64 stood in a frame; `declared` is the media type that the client named.

    Raises BadBase64, FileTooLarge, NotAPdf, NoText, UnsupportedType, Busy.
    """
    base64_intake.check_length(content, settings.MIVA_MAX_FILE_BYTES)
    if len(content) <= base64_intake.IN_THREAD:
        return await asyncio.to_thread(receive_chunks, base64_intake.decode(content), name=name, declared=declared)
    return await _outcome(lambda outcome: _follow(_decode_in_pool(content, name, declared), outcome))


def receive_chunks(chunks: Iterable[bytes], *, name: str, declared: str) -> Received:
    """The file that comes in chunks of bytes; blocks. Raises FileTooLarge, NotAPdf, NoText, UnsupportedType."""
    return intake.take_in(chunks, _get_running().folder, settings.MIVA_MAX_FILE_BYTES, name=name, declared=declared)


async def read(
    file: Received | Original,
    *,
    password: str | None = None,
    listener: Listener | None = None,
    owner: str | None = None,
) -> Reading:
    """The text of a file, read now or known from before; cancelling frees the process that reads it.

    A text that is known has no progress for the listener to hear of. Readings of the same `owner` never take all the
    processes. Raises MivaError, and OSError where the file is gone.
    """
    return await _outcome(lambda outcome: _begin(file, password, listener or Listener(), owner, outcome))


def keep(file: Received) -> None:
    """Keeps the bytes of a file, once however often it comes; blocks. The file itself is gone then. Raises OSError."""
    if isinstance(file.content, Path):
        store.keep_original(file.content, file.sha256)
    else:
        store.keep_bytes(file.content, file.sha256, _get_running().folder.path)


def known(sha256: str) -> Reading | None:
    """The text of a file that was read before and is not locked with a password; blocks for as long as a disk does."""
    return store.load(text_name(sha256))


def is_known(sha256: str) -> bool:
    """Whether `known` has the text, without reading it; blocks for as long as a disk does."""
    return store.holds(text_name(sha256))


def text_name(sha256: str, password: str | None = None) -> str:
    """Where the storage has the text of a file, or will have it; that which the password opens, where one is given."""
    running = _running  # reads as the settings were when it started, and without a program that came later
    return store.text_name(sha256, running.limits if running is not None else current_limits(), password)


def _decode_in_pool(content: str, name: str, declared: str) -> Future[Received]:
    running = _get_running()
    return base64_intake.decode_in_pool(running.pool, running.folder, content, name=name, declared=declared)


def files_read() -> int:
    """How many files this process has read since the pool was started, without those that were known already."""
    return _running.files_read if _running is not None else 0


def current_limits() -> Limits:
    """The bounds that the settings ask for."""
    return Limits(
        max_file_bytes=settings.MIVA_MAX_FILE_BYTES,
        max_pages=settings.MIVA_MAX_PAGES,
        engines=tuple(settings.MIVA_PDF_ENGINES),
        timeout_s=settings.MIVA_PDF_TIMEOUT_S,
        memory_mb=settings.MIVA_PDF_MEMORY_MB,
        workers=settings.MIVA_PDF_WORKERS,
        max_wait_s=max(120.0, 2 * settings.MIVA_PDF_TIMEOUT_S),
        tesseract=None if settings.MIVA_OCR == "off" else shutil.which("tesseract"),
    )


def _get_running() -> _Running:
    global _running
    with _lock:
        if _running is None:
            _running = _Running()
        return _running


async def _outcome(begin: Callable[[Future[T]], None]) -> T:
    """What comes of the work that `begin` starts, called in a thread because it may touch the disk.

    It is given the future that the work is to settle, or to be cancelled with, even where it is still being begun.
    """
    outcome: Future[T] = Future()  # told of once: each word to the event loop costs as much as a small file's hash
    told = asyncio.wrap_future(outcome)

    def start() -> None:
        if outcome.cancelled():
            return
        try:
            begin(outcome)
        except BaseException as why:
            with contextlib.suppress(InvalidStateError):  # it was cancelled
                outcome.set_exception(why)

    _beginners.submit(start)
    return await told


def _follow(work: Future[T], outcome: Future[T]) -> None:
    """Lets a future come to the same end as another, which is cancelled with it."""

    def follow(_: object) -> None:
        if work.cancelled():
            outcome.cancel()
            return
        with contextlib.suppress(InvalidStateError):  # it was cancelled
            if why := work.exception():
                outcome.set_exception(why)
            else:
                outcome.set_result(work.result())

    outcome.add_done_callback(lambda _: work.cancel() if outcome.cancelled() else None)
    work.add_done_callback(follow)


def _begin(
    file: Received | Original, password: str | None, listener: Listener, owner: str | None, outcome: Future[Reading]
) -> None:
    running = _get_running()
    limits = running.limits
    # A lone surrogate is in nobody's password, and cannot be passed on.
    password = password.encode(errors="replace").decode() if password else None
    public = store.text_name(file.sha256, limits)
    private = store.text_name(file.sha256, limits, password) if password else public
    reading = store.load(public) or (store.load(private) if password else None)
    if reading is not None:
        with contextlib.suppress(InvalidStateError):  # it was cancelled
            outcome.set_result(reading)
        return
    opened = file.open()

    def begin(everybody: Listener) -> Future[Reading]:
        def task(slot: Slot) -> Reading:
            try:
                return _read(slot, opened.fd, file, password, (public, private), running, everybody)
            finally:
                opened.close()

        return running.pool.submit(task, size=file.size, owner=owner, quick=file.media_type != PDF)

    running.shared.join(private, begin, listener, outcome)


def _read(
    slot: Slot,
    fd: int,
    file: Received | Original,
    password: str | None,
    names: tuple[str, str],
    running: _Running,
    listener: Listener,
) -> Reading:
    running.files_read += 1
    if file.media_type == PDF:
        extracted = extraction.extract_pdf(slot, fd, running.limits, password, listener)
    else:
        extracted = extraction.extract_text(slot, fd, running.limits)
        listener.progress(1, 1)
    reading = Reading(file.sha256, file.media_type, extracted.pages, extracted.extractor, extracted.outline)
    store.save(names[extracted.locked], reading, running.folder.path, is_locked=extracted.locked)
    return reading


def _after_fork() -> None:
    """A forked copy of the server starts its own processes and leaves the original's alone."""
    global _running, _lock, _beginners
    running, _running, _lock, _beginners = _running, None, threading.Lock(), _threads_to_begin_in()
    if running is not None:
        running.pool.forget()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)
