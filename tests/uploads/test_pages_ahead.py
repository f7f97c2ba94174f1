"""Pages go to an engine that keeps documents while the rest is being read; what is given up there has no end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from miva import engine_client, library
from miva.documents import reader
from miva.models import Document
from miva.pages_ahead import PagesAhead
from miva.protocol.engine import SUBPROTOCOL, EngineHello
from tests.documents.helpers import scan_pdf
from tests.documents.test_reader import encrypted
from tests.engines import Script, ScriptedEngine, scripted_engine
from tests.operations.talk import eventually
from tests.pdfs import make_pdf
from tests.uploads.conftest import Sender
from tests.uploads.test_taking_over import begun, no_progress

HELLO = json.dumps({"type": "hello", "name": "keeper", "models": [], "embedding_dim": 0})
LONG = make_pdf([f"page {number} " + "word " * 400 for number in range(1, 2001)])


async def keep(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
    """An engine that tells how far it is and keeps what has an end."""
    told = json.loads(frame)
    if told["type"] == "page":
        await connection.send(json.dumps({"type": "progress", "stage": "index", "done": told["page"], "total": 9999}))
    if told["type"] == "document_end":
        await connection.send(json.dumps({"type": "indexed", "id": told["id"], "chunks": 7}))


@asynccontextmanager
async def keeper(settings: Any, script: Script = keep) -> AsyncIterator[ScriptedEngine]:
    """An engine that is known to keep documents, for this process."""
    async with scripted_engine(script, subprotocols=[SUBPROTOCOL], greeting=HELLO) as engine:
        settings.MIVA_ENGINE_URLS = (engine.url,)
        engine_client.remember(EngineHello("keeper", (), 0))
        yield engine


def told(engine: ScriptedEngine, kind: str) -> list[Any]:
    return [frame for frame in engine.asked if frame["type"] == kind]


async def read(document: Document, password: str | None = None) -> Document:
    return await library.finish(document, None, password=password, on_progress=no_progress)


async def test_the_engine_has_the_first_pages_before_the_last_is_read(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        document = await begun(sender, LONG)
        reading = asyncio.create_task(read(document))
        await engine.wait_for_frames(2)
        assert (await sender.document(document.pk)).status == "reading"
        assert (await reading).chunks == 7
        assert [frame["pages"] for frame in told(engine, "document")] == [2000]
        pages = told(engine, "page")
        assert [frame["page"] for frame in pages] == list(range(1, 2001))
        assert [frame["text"] for frame in pages] == list(reader.known(document.sha256).pages)  # type: ignore[union-attr]
        assert engine.asked[-1] == {"type": "document_end", "id": document.content_id}
        assert len(engine.connections) == 1


async def test_the_end_has_the_bookmarks(sender: Sender, settings: Any) -> None:
    marked = make_pdf(["Alpha", "Beta"], outline=[(0, "First", 1), (1, "Second", 2)])
    async with keeper(settings) as engine:
        await read(await begun(sender, marked))
        [end] = told(engine, "document_end")
        assert [tuple(mark.values()) for mark in end["outline"]] == [(0, "First", 1), (1, "Second", 2)]


async def test_a_document_that_is_deleted_while_it_is_read_gets_no_end(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        document = await begun(sender, LONG)
        reading = asyncio.create_task(read(document))
        await engine.wait_for_frames(2)
        await library.forget(sender.owner_id, document.pk)
        with pytest.raises(Exception, match="no such document"):
            await reading
        assert told(engine, "document_end") == []
        assert told(engine, "forget") == [{"type": "forget", "id": document.content_id}]
        await eventually(lambda: all(connection.close_code is not None for connection in engine.connections))


async def test_a_reading_that_is_given_up_gives_the_engine_no_end(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        reading = asyncio.create_task(read(await begun(sender, LONG)))
        await engine.wait_for_frames(2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert told(engine, "document_end") == []
        await eventually(lambda: engine.connections[0].close_code is not None)


async def test_an_engine_that_goes_away_meanwhile_is_given_all_anew(sender: Sender, settings: Any) -> None:
    async def close_at_first(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if connection is engine.connections[0] and json.loads(frame)["type"] == "page":
            await connection.close()
        await keep(engine, connection, frame)

    async with keeper(settings, close_at_first) as engine:
        assert (await read(await begun(sender, LONG))).chunks == 7
        assert len(engine.connections) == 2
        assert [frame["page"] for frame in told(engine, "page")][-2000:] == list(range(1, 2001))


async def test_an_engine_that_refuses_a_page_is_given_all_anew(sender: Sender, settings: Any) -> None:
    async def refuse_at_first(engine: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        if connection is engine.connections[0] and json.loads(frame)["type"] == "page":
            await connection.send('{"type": "error", "message": "No."}')
        else:
            await keep(engine, connection, frame)

    async with keeper(settings, refuse_at_first) as engine:
        assert (await read(await begun(sender, LONG))).chunks == 7
        assert len(told(engine, "document_end")) == 1


async def test_a_page_that_may_be_read_better_holds_back_those_behind_it(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        document = await begun(sender, scan_pdf(2))
        with pytest.raises(Exception, match="scan"):
            await read(document)
        assert engine.frames == []


async def test_what_a_password_opens_does_not_go_ahead(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        document = await begun(sender, encrypted("secret", "right", "owner"))
        assert (await read(document, "right")).chunks == 7
        assert {frame["id"] for frame in engine.asked} == {document.content_id}
        assert document.content_id != document.sha256


async def test_an_engine_that_keeps_nothing_gets_no_page(sender: Sender, settings: Any) -> None:
    async with scripted_engine(keep) as engine:
        settings.MIVA_ENGINE_URLS = (engine.url,)
        engine_client.remember(EngineHello("was a keeper", (), 0))
        assert (await read(await begun(sender, make_pdf(["Alpha"])))).chunks == 0
        assert engine.frames == []


@pytest.mark.parametrize(
    ("came", "now"),
    [
        ([(1, "one"), (2, "two")], ["one", "2"]),  # read again, by another extractor
        ([(1, "one"), (2, "two")], ["one"]),
        ([(2, "two")], ["one", "two"]),  # heard from the middle on
        ([], ["one"]),
    ],
)
async def test_other_pages_than_went_ahead_are_not_handed_over(
    settings: Any, came: list[tuple[int, str]], now: list[str]
) -> None:
    async with keeper(settings) as engine:
        ahead = PagesAhead("id", "a.pdf", "owner")
        for number, text in came:
            await asyncio.to_thread(ahead.add, number, 2, text)
        if came and came[0][0] == 1:
            await engine.wait_for_frames(1 + len(came))
        assert await ahead.handed_over(now) is None
        assert told(engine, "document_end") == []
        await eventually(lambda: all(connection.close_code is not None for connection in engine.connections))


async def test_pages_that_come_twice_go_once(settings: Any) -> None:
    async with keeper(settings) as engine:
        ahead = PagesAhead("id", "a.pdf", "owner")
        for number in (1, 2, 1, 2, 3):  # an extraction process was killed from outside, and another began anew
            ahead.add(number, 3, f"page {number}")
        await engine.wait_for_frames(4)
        handed_over = await ahead.handed_over(["page 1", "page 2", "page 3"])
        assert handed_over is not None
        link, sent = handed_over
        assert sent == 3
        assert [frame["text"] for frame in told(engine, "page")] == ["page 1", "page 2", "page 3"]
        await link.close()
