"""A question about many documents has their files open for a moment only, and never more than the system gives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from miva.engine.asked import Asked
from miva.engine.descriptors import Descriptors
from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.frames import Options, Question
from miva.engine.prose import Speaker
from miva.engine.service import Service
from miva.engine.stores.base import Draft
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.documents.helpers import needs_proc
from tests.engine.llm.endpoint import Turn, serving
from tests.engine.running import Client, Engine

QUESTION = "Which colour is room 7 painted in?"


def engine(data: Path, soft: int, hard: int, config: Mapping[str, Any] | None = None) -> Engine:
    """An engine that may have so many files open."""
    limits = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"
    code = f"import os, resource, sys; {limits}; os.execvp(sys.argv[1], sys.argv[1:])"
    return Engine(data, config=config, inside=[sys.executable, "-c", code])


async def store_rooms(client: Client, count: int) -> list[str]:
    """The ids of so many documents."""
    pages = [f"Room {room} is painted in green. The key hangs at the door." for room in range(count)]
    return [await client.store([page], f"{room}.txt") for room, page in enumerate(pages)]


async def all_are_closed(pid: int) -> None:
    """Returns once a process has no document's file open."""
    async with asyncio.timeout(20):
        while any(re.search(r"[0-9a-f]{64}\.sqlite3", name) for name in open_files(pid)):
            await asyncio.sleep(0.05)


def open_files(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed just now
            yield os.readlink(descriptor)


async def test_the_engine_opens_as_many_files_as_it_may(data: Path) -> None:
    with engine(data, 80, 1000) as running:
        async with running.open(v1=True) as client:
            documents = await store_rooms(client, 120)
            answer = await client.ask(QUESTION, documents=documents)
            assert "7.txt: “Room 7 is painted in green.”" in answer["message"]


@needs_proc
async def test_many_ask_about_many_while_a_model_writes(data: Path) -> None:
    written = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await turn.say("Room 7 is painted in green. ")
        await written.wait()
        await turn.end()

    async with serving(slow) as endpoint:
        model = {"kind": "openai", "url": endpoint.url, "model": "scripted", "at_once": 8}
        with engine(data, 120, 120, {"llm": {"models": [model]}}) as running:

            async def asking(documents: list[str]) -> str:
                async with running.open(v1=True) as client:
                    return str((await client.streamed(QUESTION, documents=documents))[-1]["response"])

            async with running.open(v1=True) as client:
                documents = await store_rooms(client, 40)
                answers = [asyncio.create_task(asking(documents)) for _ in range(6)]
                async with asyncio.timeout(20):
                    while endpoint.running < 6:
                        await asyncio.sleep(0.05)
                await all_are_closed(running.process.pid)
                written.set()
                assert await asyncio.gather(*answers) == ["Room 7 is painted in green. "] * 6


@needs_proc
async def test_more_documents_than_files_that_may_be_open_is_one_honest_error(data: Path) -> None:
    with engine(data, 100, 100) as running:
        async with running.open(v1=True) as client:
            documents = await store_rooms(client, 120)
            error = await client.ask(QUESTION, documents=documents)
            assert error["type"] == "error"
            assert "cannot reach what it keeps just now" in error["message"]
            answer = await client.ask(QUESTION, documents=documents[:20])
            assert "7.txt: “Room 7 is painted in green.”" in answer["message"]
            await all_are_closed(running.process.pid)
        log = running.stop()
    assert "unable to open database file" in log
    assert "Traceback" not in log


class WatchedLibrary(SqliteLibrary):
    """Remembers what it opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.opened: list[SqliteIndex] = []

    def open(self, document: str) -> SqliteIndex | None:
        index = super().open(document)
        assert isinstance(index, SqliteIndex)
        self.opened.append(index)
        return index

    def are_closed(self) -> bool:
        for index in self.opened:
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                index.page_count()
        return bool(self.opened)


def kept(library: SqliteLibrary, *documents: str) -> None:
    for document in documents:
        draft: Draft = SqliteIndex.in_memory()
        draft.add_pages([(1, "The elephant is called Jumbo.")])
        library.save(document, draft)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_a_question_opened_is_closed_however_it_ends(data: Path, is_cancelled: bool) -> None:
    library = WatchedLibrary(data / "documents")
    kept(library, "a", "b")
    embeddings = EmbeddingQueue(data / "models")
    service = Service(library, VectorFiles(data / "vectors"), embeddings, Speaker(None), 1)
    question = Question(
        message="Who?", key="u", unique_id="u", documents=("a", "b"), stream=False, names={}, history=(),
        options=Options(),
    )  # fmt: skip
    reading: asyncio.Future[list[Asked]] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        async with service.opened(question) as documents:
            reading.set_result(documents)
            if is_cancelled:
                await asyncio.Event().wait()
            raise ValueError("it fails")

    asking = asyncio.create_task(ask())
    assert [document.index for document in await reading] == library.opened
    asking.cancel() if is_cancelled else None
    await asyncio.gather(asking, return_exceptions=True)
    assert library.are_closed()
    embeddings.close()


async def test_what_is_free_is_given_in_the_order_of_asking() -> None:
    descriptors, order = Descriptors(10), list[int]()
    ends = {count: asyncio.Event() for count in (4, 8, 5, 99)}

    async def hold(count: int) -> None:
        async with descriptors.taken(count):
            order.append(count)
            await ends[count].wait()

    tasks = [asyncio.create_task(hold(count)) for count in ends]
    for told in ([4], [4, 8], [4, 8, 5], [4, 8, 5, 99]):
        await asyncio.sleep(0.01)
        assert order == told  # 5 fits beside 4, but 8 was there before
        ends[told[-1]].set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
        async with descriptors.taken(10):
            pass


async def test_who_stops_waiting_costs_the_others_nothing() -> None:
    descriptors = Descriptors(10)
    async with descriptors.taken(6):
        waiting = asyncio.create_task(descriptors.taken(8).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        async with asyncio.timeout(5), descriptors.taken(4):
            pass
