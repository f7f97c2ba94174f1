"""A document is ready once questions find all of it; it is kept a moment later, and what fails then is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from miva.engine import service as service_module
from miva.engine import session as session_module
from miva.engine import vectoriser as vectoriser_module
from miva.engine.asked import Asked
from miva.engine.connection import Connection
from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.frames import FrameError, Options, Question
from miva.engine.prose import Speaker
from miva.engine.service import Service
from miva.engine.session import Session
from miva.engine.stores.base import Draft, StoreError
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.engine.running import V1, Client

ASKED = Question(
    message="Who?", key="u", unique_id="u", documents=("d",), stream=False, names={}, history=(), options=Options()
)


class WaitingLibrary(SqliteLibrary):
    """Keeps nothing until it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_write = threading.Event()
        self.is_broken = False

    def save(self, document: str, draft: Draft) -> None:
        assert self.may_write.wait(20)
        if self.is_broken:
            raise StoreError("The disk is full.")
        super().save(document, draft)


FEW, MANY = 1, service_module.FEW_CHUNKS + 1
TEXT = "The elephant is called Jumbo."


@asynccontextmanager
async def ready_document(
    data: Path, chunks: int = FEW
) -> AsyncIterator[tuple[Service, WaitingLibrary, asyncio.Task[None]]]:
    """A service with a document of so many chunks, a page each, that was told as ready and is not kept yet, and the
    task that keeps it."""
    library = WaitingLibrary(data / "documents")
    embeddings = EmbeddingQueue(data / "models")
    service = Service(library, VectorFiles(data / "vectors"), embeddings, Speaker(None), 1)
    ready = asyncio.Event()

    async def told(made: int) -> None:
        assert made == chunks
        ready.set()

    async def unheard(_done: int, _total: int) -> None:
        return None

    await service.announce("d", "alice", "plover.pdf")
    intake = service.new_intake(chunks)
    task = asyncio.create_task(service.take_in("d", intake, unheard, told))
    service.register("d", intake, task)
    for page in range(1, chunks + 1):
        intake.add(page, TEXT)
    intake.end()
    try:
        await ready.wait()
        yield service, library, task
    finally:
        library.may_write.set()
        await asyncio.gather(task, return_exceptions=True)
        await service.forget("d")
        embeddings.close()


async def asked(service: Service) -> Asked:
    async def needs(documents: Sequence[str]) -> None:
        raise AssertionError(f"{documents} are here")

    await service.here(ASKED, needs)
    async with service.opened(ASKED) as (found,):
        lacking = [(done, total) for _, done, total in await service.unfinished([found])]
        assert lacking in ([], [(0, MANY)])
        assert (lacking == []) == (found.index.chunk_count() == FEW)
        assert found.read is None
        assert found.index.page_text(1) == TEXT
    return found


async def test_a_question_before_it_is_kept_finds_all_of_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "SETTLE_KEPT_S", 0.05)
    async with ready_document(data) as (service, library, _):
        assert not library.holds("d")
        assert isinstance((await asked(service)).index, SqliteIndex)


async def test_a_question_waits_a_moment_for_what_is_about_to_be_kept(data: Path) -> None:
    async with ready_document(data) as (service, library, _):
        asyncio.get_running_loop().call_later(0.1, library.may_write.set)
        await asked(service)
        assert library.holds("d")


async def test_a_question_about_a_long_document_waits_for_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its vectors would take longer than anybody waits for them."""
    monkeypatch.setattr(service_module, "SETTLE_KEPT_S", 60)
    async with ready_document(data, MANY) as (service, library, _):
        assert isinstance((await asyncio.wait_for(asked(service), 20)).index, SqliteIndex)
        assert not library.holds("d")


async def test_it_is_kept_also_where_the_engine_stops_at_once(data: Path) -> None:
    async with ready_document(data) as (service, library, task):
        task.cancel()
        await service.kept(0.05)
        assert not library.holds("d")
        library.may_write.set()
        await service.kept(20)
        assert library.holds("d")


async def test_what_cannot_be_kept_is_told_and_needed_again(data: Path) -> None:
    async with ready_document(data) as (service, library, task):
        library.is_broken = True
        asyncio.get_running_loop().call_later(0.1, library.may_write.set)
        with pytest.raises(FrameError, match="send it and ask again"):
            await asked(service)
        with pytest.raises(StoreError, match="full"):
            await task
        assert await service._missing(["d"]) == ["d"]


async def test_the_sender_hears_of_it_all_the_while(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_PROGRESS_S", 0.05)
    monkeypatch.setattr(vectoriser_module, "_STEP_CHUNKS", 16)
    library = WaitingLibrary(data / "documents")
    embeddings = EmbeddingQueue(data / "models")
    service = Service(library, VectorFiles(data / "vectors"), embeddings, Speaker(None), 1)

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        await Session(connection, service).run()

    names = [Subprotocol(V1)]
    async with serve(handle, "127.0.0.1", 0, subprotocols=names, create_connection=Connection) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", subprotocols=[Subprotocol(V1)]) as connection:
            client = Client(connection)
            assert (await client.get())["embedding_dim"] > 0
            await client.store([f"Page {number}. " + "The elephant is called Jumbo. " * 60 for number in range(12)])
            for _ in range(3):
                progress = (await client.until("progress"))[-1]
                assert (progress["done"], progress["total"] > 32) == (0, True)
            library.may_write.set()
            while not (progress := (await client.until("progress"))[-1])["done"]:
                pass
            assert progress["done"] < progress["total"]
            monkeypatch.setattr(session_module, "_PROGRESS_S", 600)  # the end is told when it comes
            while progress["done"] < progress["total"]:
                progress = (await client.until("progress"))[-1]
    embeddings.close()
