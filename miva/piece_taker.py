"""The one upload at a time of a socket: its pieces in order, and how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from miva import uploads
from miva.protocol.errors import BadFrame
from miva.protocol.events import Event, Progress
from miva.protocol.requests import Upload
from miva.uploads import UploadSession


class PieceTaker:
    """Takes the upload of a socket; `tell` gets its progress after each piece, so that a client may wait for it."""

    def __init__(self, owner_id: UUID, tell: Callable[[Event], None]) -> None:
        self._owner_id = owner_id
        self._tell = tell
        self._session: UploadSession | None = None
        self._order = asyncio.Lock()
        self._has_failed = False
        self.id: str | None = None
        """The client's id of the upload that was begun last."""

    async def begin(self, request: Upload) -> None:
        """Begins an upload or goes on with it; one that was open on this socket ends with the bytes it has."""
        async with self._order:
            await self._let_go()
            self.id, self._has_failed = request.id, True  # of one that cannot begin, pieces may be on their way
            self._session = session = await uploads.open(self._owner_id, request)
            self._has_failed = False
            self._tell_progress(session)
            await session.settled()

    async def take(self, data: bytes) -> None:
        """Writes the next bytes; those behind a failure, which were sent before the client knew of it, are dropped."""
        async with self._order:
            session = self._session
            if session is None:
                if not self._has_failed:
                    raise BadFrame("A binary frame is a piece of an upload, and none has begun on this connection.")
                return
            try:
                await session.write(data)
            except BaseException:
                self._has_failed = True
                await self._let_go()
                raise
            self._tell_progress(session)
            await session.settled()

    async def close(self) -> None:
        """The socket is gone: the bytes that came are kept."""
        async with self._order:
            await self._let_go()

    async def _let_go(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _tell_progress(self, session: UploadSession) -> None:
        assert self.id is not None
        self._tell(Progress("upload", session.done, session.total, self.id))
        if session.is_over:
            self._session = None
