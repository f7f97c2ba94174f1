"""The files that came inside questions: kept before the question is, then read while its turn waits or runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from miva import background_reading, library
from miva.documents import reader
from miva.models import Document
from miva.protocol.errors import naming_the_file
from miva.protocol.events import Progress
from miva.protocol.requests import Ask

Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file of a question whose bytes are kept and whose text is not there yet."""

    document: Document
    password: str | None


class Reading:
    """Reads the files of one question, one after another, in the process that took the question."""

    def __init__(self, upload_id: str, files: Sequence[InlineFile]) -> None:
        self._upload_id = upload_id
        self._files = list(files)
        self._count = len(files)
        self._loop = asyncio.get_running_loop()
        self._tell: Tell | None = None
        self._last: dict[str | None, Progress] = {}
        self._is_unwanted = False
        self.task = asyncio.create_task(self._read(), name="reading")
        self.task.add_done_callback(_note_the_end)

    async def wait(self, tell: Tell) -> None:
        """Returns when all files are read; `tell` hears how far they are. Raises MivaError for one that cannot be."""
        self._tell = tell
        for progress in self._last.values():
            tell(progress)
        try:
            await asyncio.shield(self.task)
        finally:
            self._tell = None

    def stop(self) -> None:
        """Nobody wants to know any more what is in the files: their question was cancelled."""
        self._is_unwanted = True
        self.task.cancel()

    async def _read(self) -> None:
        try:
            while self._files:
                file = self._files[0]
                on_progress = library.sparse(self._from_any_thread(str(file.document.pk)))
                with naming_the_file(file.document.name, self._count):
                    await library.finish(
                        file.document, self._upload_id, password=file.password, on_progress=on_progress, index=False
                    )
                self._files.pop(0)
                await asyncio.sleep(0)  # lets what was told from threads arrive first
        except asyncio.CancelledError:
            if self._is_unwanted:
                await asyncio.shield(abandon(self._files, self._upload_id))
            raise
        except BaseException:
            _read_all_the_same(self._files[1:], self._upload_id)  # the first is marked failed already
            raise

    def _from_any_thread(self, document: str) -> library.StageProgress:
        def on_progress(stage: str, done: int, total: int) -> None:
            self._loop.call_soon_threadsafe(self._note, Progress(stage, done, total, document=document))

        return on_progress

    def _note(self, progress: Progress) -> None:
        self._last[progress.document] = progress
        if self._tell is not None:
            self._tell(progress)


_readings: dict[UUID, Reading] = {}


def begin(turn_id: UUID, upload_id: str, files: Sequence[InlineFile]) -> None:
    """Reads the files of a turn in the background."""
    reading = _readings[turn_id] = Reading(upload_id, files)
    reading.task.add_done_callback(lambda _: _readings.pop(turn_id, None))


def of(turn_id: UUID) -> Reading | None:
    """The reading of a turn's files that is under way in this process."""
    return _readings.get(turn_id)


async def receive(owner_id: UUID, request: Ask) -> list[InlineFile]:
    """Takes the files of a question in and keeps them; raises MivaError for one that cannot be taken."""
    files: list[InlineFile] = []
    try:
        for file in request.files:
            with naming_the_file(file.name, len(request.files)):
                received = await reader.receive_base64(file.content, name=file.name, declared=file.media_type)
            document = await library.begin(owner_id, received, request.id)
            files.append(InlineFile(document, file.password))
    except BaseException:
        _read_all_the_same(files, request.id)
        raise
    return files


async def abandon(files: Sequence[InlineFile], upload_id: str) -> None:
    """Lets go of files whose question came to nothing."""
    for file in files:
        await library.abandon(file.document, upload_id)


def _read_all_the_same(files: Sequence[InlineFile], upload_id: str) -> None:
    """Has files read whose question came to nothing for another file's sake: they are their owner's documents."""
    for file in files:
        if file.document.status == Document.Status.READING:
            background_reading.read(file.document, file.password, upload_id)


def _note_the_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # told by the turn that waits for it, and by the document's own state
