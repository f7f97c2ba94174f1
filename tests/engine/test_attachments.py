"""Documents that come inside questions stay in memory for a while: not too many, and always those just asked about."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from miva.engine import shelf as shelf_module
from miva.engine import vectoriser as vectoriser_module
from miva.engine.attachments import Attachments
from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.shelf import SHELF_DOCUMENTS
from miva.engine.vectoriser import Vectoriser
from tests.engine.running import Engine
from tests.engine.wrapping import plain, wrap


def rooms(first: int, count: int, length: int = 1) -> str:
    """A question with so many documents."""
    files = [
        plain(f"Room {room} is painted in colour {room}. " * length, f"{room}.txt")
        for room in range(first, first + count)
    ]
    return wrap("Which colour is room 3?", files)


async def test_one_question_may_have_more_documents_than_are_kept(shared_engine: Engine) -> None:
    async with shared_engine.open() as client:
        answer = await client.ask(rooms(0, SHELF_DOCUMENTS + 2))
        assert "3.txt: “Room 3 is painted in colour 3.”" in answer["message"]
        answer = await client.ask("Which colour is room 65 painted in?")
        assert "65.txt: “Room 65 is painted in colour 65.”" in answer["message"]


def test_one_question_may_have_more_text_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "SHELF_CHARACTERS", 1000)
    attachments = Attachments()
    _, asked = attachments.unwrap(rooms(0, 3, length=20))
    assert [attachments.open(document.id) for document in asked] == [document.index for document in asked]
    attachments.unwrap("A question without any.")
    assert attachments.open(asked[0].id) is not None
    attachments.unwrap(rooms(10, 1))
    assert [attachments.open(document.id) for document in asked] == [asked[0].index, None, None]


def test_what_another_question_makes_room_for_can_still_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "SHELF_DOCUMENTS", 2)
    attachments = Attachments()
    _, asked = attachments.unwrap(rooms(0, 2))
    attachments.unwrap(rooms(10, 2))
    assert attachments.open(asked[0].id) is None
    assert asked[0].index.page_text(1).startswith("Room 0")


async def test_vectors_of_what_has_gone_are_neither_kept_nor_made_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "SHELF_DOCUMENTS", 1)
    monkeypatch.setattr(vectoriser_module, "_STEP_CHUNKS", 16)
    embeddings = EmbeddingQueue(data / "models")
    attachments = Attachments()
    vectoriser = Vectoriser(embeddings, ThreadPoolExecutor(2))
    text = "\n\n".join(f"Sheet {n} tells of green rooms and of crate {n}, as no other does." for n in range(499))
    _, (gone,) = attachments.unwrap(wrap("Who?", [plain(text)]))
    try:
        vectoriser.start(gone.id, partial(attachments.open, gone.id), gone.vectors, closes=False)
        async with asyncio.timeout(60):
            while gone.vectors.count(gone.id) == 0:
                await asyncio.sleep(0.01)
        assert vectoriser.works_at(gone.id)
        attachments.unwrap(rooms(0, 1))
        assert gone.vectors.count(gone.id) == 0
        async with asyncio.timeout(60):
            while vectoriser.works_at(gone.id):
                assert gone.vectors.count(gone.id) == 0
                await asyncio.sleep(0.01)
        assert gone.vectors.count(gone.id) == 0
    finally:
        embeddings.close()
