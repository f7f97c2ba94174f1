"""Deleting in the moment in which something of the document is being written: nothing of it stays."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.intake import Intake
from miva.engine.prose import Speaker
from miva.engine.service import Service
from miva.engine.stores.base import Draft
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.sqlite_library import SqliteLibrary
from miva.engine.vectors import Vectors

WRITING_S = 0.2


class SlowLibrary(SqliteLibrary):
    """On a slow disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writes = threading.Event()

    def save(self, document: str, draft: Draft) -> None:
        self.writes.set()
        time.sleep(WRITING_S)
        super().save(document, draft)


class SlowVectors(VectorFiles):
    """On a slow disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "")
        self.writes = threading.Event()

    def add(self, document: str, first: int, vectors: Vectors) -> None:
        self.writes.set()
        time.sleep(WRITING_S)
        super().add(document, first, vectors)


class Place:
    """What a service is made of, and how to see that nothing of a document is left in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.library = SlowLibrary(data / "documents")
        self.vectors = SlowVectors(data / "vectors")
        self.embeddings = EmbeddingQueue(data / "models")
        self.arriving: asyncio.Task[None] | None = None
        """What takes the document in; it ends with the connection that sends it."""

    async def begin(self) -> Service:
        """A service that is just taking in a document under the id `d`."""
        service = Service(self.library, self.vectors, self.embeddings, Speaker(None), 1)
        await service.announce("d", "alice", "plover.pdf")
        intake = service.new_intake(1)
        self.arriving = asyncio.ensure_future(self._take_in(service, intake))
        service.register("d", intake, self.arriving)
        intake.add(1, "The password is xyzzyplugh.")
        intake.end()
        return service

    async def _take_in(self, service: Service, intake: Intake) -> None:
        await service.take_in("d", intake, _unheard, _unheard)

    async def nothing_stays(self) -> None:
        await asyncio.sleep(2 * WRITING_S)
        assert not self.library.holds("d")
        assert self.vectors.count("d") == 0
        for path in self.data.rglob("*"):
            content = path.read_bytes() if path.is_file() and path.parent.name != "models" else b""
            assert b"xyzzy" not in content, path
            assert b"plover" not in content, path


async def _unheard(*_numbers: int) -> None:
    return None


@pytest.fixture
def place(data: Path) -> Iterator[Place]:
    place = Place(data)
    yield place
    place.embeddings.close()


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 20)


async def test_while_its_text_is_being_written(place: Place) -> None:
    service = await place.begin()
    await until(place.library.writes)
    await service.forget("d")
    await place.nothing_stays()


async def test_while_its_text_is_being_written_though_its_sender_is_gone(place: Place) -> None:
    service = await place.begin()
    await until(place.library.writes)
    assert place.arriving is not None
    place.arriving.cancel()
    await asyncio.sleep(WRITING_S / 4)
    await service.forget("d")
    await place.nothing_stays()


async def test_while_its_vectors_are_being_written(place: Place) -> None:
    service = await place.begin()
    await until(place.vectors.writes)
    await service.forget("d")
    await place.nothing_stays()


async def test_by_two_at_once_while_its_vectors_are_being_written(place: Place) -> None:
    service = await place.begin()
    await until(place.vectors.writes)
    first = asyncio.ensure_future(service.forget("d"))
    await asyncio.sleep(WRITING_S / 4)
    await service.forget("d")
    await first
    await place.nothing_stays()


async def test_while_it_is_asked_about(place: Place) -> None:
    """Each question begins with the vectors that are missing."""
    service = await place.begin()
    await until(place.vectors.writes)
    forgetting = asyncio.ensure_future(service.forget("d"))
    while not forgetting.done():
        service._vectorise("d")
        await asyncio.sleep(0)
    await place.nothing_stays()
