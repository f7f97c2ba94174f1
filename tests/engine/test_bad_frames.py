"""A frame that cannot be understood is answered with a sentence, and the connection lives."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.engine.running import Engine

PLAIN = {
    "no JSON": "hello",
    "empty": "",
    "binary": b'{"message": "hello"}',
    "a list": "[]",
    "a string": '"hello"',
    "null": "null",
    "no message": '{"type": "chat"}',
    "a number for a message": '{"message": 7}',
    "null for a message": '{"message": null}',
    "stream is no boolean": '{"message": "q", "stream": "yes"}',
    "history is no list": '{"message": "q", "history": {"role": "user"}}',
    "history without content": '{"message": "q", "history": [{"role": "user"}]}',
    "options are no object": '{"message": "q", "options": [1]}',
    "an unknown type": '{"type": "nonsense", "message": "q"}',
    "a type that is no string": '{"type": {"a": 1}, "message": "q"}',
    "a document without the subprotocol": '{"type": "document", "id": "a", "name": "b", "pages": 1}',
    "deep nesting": "[" * 100_000,
    "deep nesting in an object": '{"message": "q", "unique_id": ' + "[" * 90_000 + "]" * 90_000 + "}",
    "a huge whole number": '{"message": "q", "unique_id": ' + "9" * 10_000 + "}",
    "a huge fraction": '{"message": "q", "unique_id": 1e999}',
    "not a number": '{"message": "q", "unique_id": NaN}',
    "half a character in the message": '{"message": "\\ud800"}',
    "half a character in the id": '{"message": "q", "unique_id": "\\udfff"}',
}
V1 = {
    "an id that is no string": '{"type": "document", "id": 7, "name": "n", "pages": 1}',
    "an empty id": '{"type": "document", "id": "", "name": "n", "pages": 1}',
    "no name": '{"type": "document", "id": "a", "pages": 1}',
    "pages as true": '{"type": "document", "id": "a", "name": "n", "pages": true}',
    "too many pages": '{"type": "document", "id": "a", "name": "n", "pages": 1000000}',
    "an owner that is a list": '{"type": "document", "id": "a", "name": "n", "pages": 1, "owner": []}',
    "a page nobody began": '{"type": "page", "id": "nobody", "page": 1, "text": ""}',
    "page zero": '{"type": "page", "id": "a", "page": 0, "text": ""}',
    "a page without text": '{"type": "page", "id": "a", "page": 1}',
    "an outline that is no list": '{"type": "document_end", "id": "x", "outline": {"title": "a"}}',
    "an outline of words": '{"type": "document_end", "id": "x", "outline": ["a"]}',
    "a bookmark without a page": '{"type": "document_end", "id": "x", "outline": [{"level": 0, "title": "a"}]}',
    "a bookmark without a title": '{"type": "document_end", "id": "x", "outline": [{"level": 0, "page": 1}]}',
    "an end nobody began": '{"type": "document_end", "id": "nobody"}',
    "forget without an id": '{"type": "forget"}',
    "documents that are no list": '{"message": "q", "documents": "abc"}',
    "documents that are no ids": '{"message": "q", "documents": [1]}',
    "names that are no object": '{"message": "q", "documents": ["a"], "names": ["x"]}',
    "half a character in a name": '{"type": "document", "id": "a", "name": "\\ud83d", "pages": 1}',
}


@pytest.mark.parametrize("frame", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("v1", [False, True])
async def test_a_bad_frame_is_answered_and_the_connection_lives(
    shared_engine: Engine, frame: str | bytes, v1: bool
) -> None:
    if v1 and isinstance(frame, str) and '"document"' in frame:
        frame = frame.replace('"pages": 1', '"pages": "1"')  # with the subprotocol the frame itself is good
    async with shared_engine.open(v1=v1) as client:
        await client.connection.send(frame)
        error = await client.get()
        assert set(error) == {"type", "message"}
        assert error["type"] == "error"
        assert error["message"].endswith(".")
        assert (await client.ask("hello"))["type"] == "chat"


@pytest.mark.parametrize("frame", V1.values(), ids=V1)
async def test_a_bad_document_frame_is_answered_and_the_connection_lives(shared_engine: Engine, frame: str) -> None:
    async with shared_engine.open(v1=True) as client:
        await client.connection.send(frame)
        assert (await client.get())["type"] == "error"
        assert (await client.ask("hello"))["type"] == "chat"


async def test_half_a_character_on_a_page_costs_only_itself(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        await client.send(type="document", id="half", name="half.pdf", pages=1)
        page = {"type": "page", "id": "half", "page": 1, "text": "The ibis \ud83d wades at dawn. \ud83d\ude00"}
        await client.connection.send(json.dumps(page))
        await client.send(type="document_end", id="half")
        await client.until("indexed")
        answer = await client.ask("ibis?", documents=["half"])
        assert "The ibis \ufffd wades at dawn." in answer["message"]


@contextmanager
def broken_names(data: Path) -> Iterator[None]:
    """While the engine's table of documents' names is not there."""
    with closing(sqlite3.connect(data / "documents" / "names.sqlite3")) as names:
        names.execute("ALTER TABLE names RENAME TO elsewhere")
        yield
        names.execute("ALTER TABLE elsewhere RENAME TO names")


async def test_a_store_that_fails_at_a_document_costs_one_error_and_the_connection_lives(data: Path) -> None:
    pages = ["The ibis wades at dawn.", "It sleeps at noon."]
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            with broken_names(data):
                document = await client.begin(pages)
                await client.send(type="document_end", id=document)
                error = await client.get()
                assert error["type"] == "error"
                assert "cannot reach what it keeps just now" in error["message"]
                assert (await client.ask("hello"))["type"] == "chat"
            await client.store(pages)
            assert "“The ibis wades at dawn.”" in (await client.ask("ibis?", documents=[document]))["message"]
        log = engine.stop()
    told = [line for line in log.splitlines() if "no such table" in line]
    # What the engine still does as it starts may come upon the same trouble, and says so too.
    assert len([line for line in told if "Documents without vectors" not in line]) == 1
    assert "Traceback" not in log


async def test_a_store_that_fails_at_forgetting_costs_one_error_and_the_rest_is_forgotten(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(["The ibis wades at dawn."])
            await client.ask("ibis?", documents=[document])  # it is kept by then, and has its vector
            assert list((data / "vectors").iterdir())
            with broken_names(data):
                await client.send(type="forget", id=document)
                assert "cannot reach what it keeps just now" in (await client.get())["message"]
            assert list((data / "vectors").iterdir()) == []
            await client.send(message="ibis?", unique_id="u", documents=[document])
            assert (await client.answer())["type"] == "need"
        assert "no such table" in engine.stop()


async def test_too_many_begun_documents_are_refused_in_words(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        for i in range(40):
            await client.send(type="document", id=f"begun {i}", name="n", pages=1)
        assert "Too many documents" in (await client.get())["message"]


async def test_too_many_waiting_questions_are_refused_in_words(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        for i in range(140):
            await client.send(message="q", unique_id=i, documents=["never comes"])
        frames = [await client.get() for _ in range(140)]
    assert sum(frame["type"] == "need" for frame in frames) == 128
    assert all("Too many questions" in frame["message"] for frame in frames if frame["type"] == "error")
