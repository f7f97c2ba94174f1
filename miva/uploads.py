"""Files that come in pieces: begun, gone on with after a break, read when the last byte is here (contract section 3.3).

The document exists from the first frame, so that a question may name it. What has come lies in a part file; a socket
that ends, or a process that dies, loses none of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from django.conf import settings

from miva import background_reading, library, no_room, upload_rows
from miva.document_news import tell
from miva.documents.parts import Part, TakenOver
from miva.documents.refusal import too_large
from miva.in_thread import in_thread
from miva.models import Document
from miva.protocol.errors import BadField, BadFrame, Busy, FileTooLarge, NotFound
from miva.protocol.requests import Upload
from miva.upload_rows import Next

KEEP_S = 10.0
"""How often the document's row notes that bytes come."""
MOST_LOOKS = 4

_settling: set[asyncio.Task[None]] = set()


class UploadSession:
    """One socket's sending of one file: `done` bytes of `total` are here and will not be asked for again."""

    def __init__(self, document: Document, upload: Upload, part: Part | None, done: int) -> None:
        self.id = upload.id
        self.document = document
        self.total = upload.size
        self.done = done
        self._password = upload.password
        self._part = part
        self._order = asyncio.Lock()
        self._settling: asyncio.Task[None] | None = None
        self._kept_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether no (more) bytes are wanted."""
        return self._part is None

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; with the last it begins to check the whole, which is then read in the background.

        Raises BadField (more bytes than announced: nothing is kept then), Busy (another connection sends this file by
        now, or there is no room), NotFound (the document was deleted), BadFrame.
        """
        async with self._order:
            if self._part is None:
                raise BadFrame("No bytes are wanted now: begin with an upload frame.")
            if self.done + len(data) > self.total:
                await self.close()
                too_many = BadField(f"More bytes came than the {self.total:,} that were announced.", field="size")
                await library.refuse(self.document, too_many)
                raise too_many
            is_last = self.done + len(data) == self.total
            if is_last:  # noted before it is written, so that another process finishes what this one does not
                await in_thread(upload_rows.begin_to_settle)(self.document)
            await self._append(self._part, data)
            if is_last:
                self._settling = _outliving(background_reading.settle(self.document, self._password))
                await self.close()
            elif time.monotonic() - self._kept_at > KEEP_S:
                self._kept_at = time.monotonic()
                await in_thread(upload_rows.keep)(self.document)

    async def settled(self) -> None:
        """Returns when the file was checked and kept, at once where bytes are missing.

        Raises BadField where the bytes are not those of the announced hash: nothing is kept then; and Busy.
        """
        if self._settling is not None:
            await asyncio.shield(self._settling)

    async def close(self) -> None:
        """Lets go of the file; what has come stays."""
        part, self._part = self._part, None
        if part is not None:
            await asyncio.to_thread(part.close)

    async def _append(self, part: Part, data: bytes) -> None:
        try:
            await asyncio.to_thread(part.write, self.done, data)
        except TakenOver:
            await self.close()
            if not await in_thread(upload_rows.exists)(self.document):
                raise NotFound("This document was deleted while it was sent.") from None
            raise Busy("This file is sent over another connection now.") from None
        except OSError as why:
            await self.close()
            raise no_room.told(why) from why
        self.done += len(data)


def _outliving(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that goes on when the socket whose frame began it is gone."""
    task = asyncio.create_task(work, name="settle")
    _settling.add(task)
    task.add_done_callback(_settled)
    return task


def _settled(task: asyncio.Task[None]) -> None:
    _settling.discard(task)
    if not task.cancelled():
        task.exception()  # told to the socket, where that is still there; the document's state tells it to all


async def open(owner_id: UUID, upload: Upload) -> UploadSession:
    """Begins a file, or goes on with one; tells the owner's sockets its document unless it only goes on.

    Where all bytes are here already, the session is over at once, and the document's state says what becomes of it.
    Raises FileTooLarge, Forbidden and Busy (too many).
    """
    if upload.size > settings.MIVA_MAX_FILE_BYTES:
        raise FileTooLarge(too_large(settings.MIVA_MAX_FILE_BYTES))
    for _ in range(MOST_LOOKS):
        document, todo, part, done = await in_thread(_arrange)(owner_id, upload)
        if todo in (Next.READ, Next.NOTHING):
            if todo is Next.READ:
                background_reading.read(document, upload.password)
            tell(document, upload.id)
            return UploadSession(document, upload, None, upload.size)
        if todo is Next.BEGIN:
            tell(document, upload.id)
            session: UploadSession | None = UploadSession(document, upload, part, done)
        else:
            session = await _take(document, upload)
        if session is not None:
            if session.done >= session.total:
                await session.write(b"")  # its last byte came, and the process or the connection ended then
            return session
    raise Busy()


def _arrange(owner_id: UUID, upload: Upload) -> tuple[Document, Next, Part | None, int]:
    """The document, and what to do about it; where it begins its part, taken, with the bytes that are here."""
    document, todo = upload_rows.arrange(owner_id, upload)
    if todo is not Next.BEGIN:
        return document, todo, None, 0
    part = Part(document.pk)
    return document, todo, part, part.take()


async def _take(document: Document, upload: Upload) -> UploadSession | None:
    """The session that goes on writing; None where the file was settled or deleted at this moment."""
    part = Part(document.pk)
    done = await asyncio.to_thread(part.take)
    if await in_thread(upload_rows.keep)(document):
        return UploadSession(document, upload, part, done)
    await asyncio.to_thread(part.close)
    if not done:  # else it is of a file that is being settled
        await asyncio.to_thread(part.remove)
    return None
