"""A file that its owner sends once more is ready at once: it is neither read nor given to the engine again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from miva import library
from miva.documents import reader
from miva.documents.intake import PDF as PDF_TYPE
from miva.models import Document
from tests.documents.test_reader import encrypted
from tests.uploads.conftest import PDF, Sender
from tests.uploads.test_pages_ahead import keeper, told

MakeSender = Callable[[], Awaitable[Sender]]


async def sent(sender: Sender, id: str, data: bytes = PDF, **more: Any) -> Document:
    """The document that becomes of a file."""
    session = await sender.send(data, id, **more)
    return await sender.ended(session.document.pk)


async def test_it_is_known_by_its_bytes_under_any_name(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        first = await sent(sender, "u1", name="a.pdf")
        heard, read = len(engine.frames), reader.files_read()
        second = await sent(sender, "u2", name="b.pdf")
        assert (len(engine.frames), reader.files_read()) == (heard, read)
    assert second.pk != first.pk
    assert (second.name, second.status, second.media_type) == ("b.pdf", "ready", PDF_TYPE)
    assert (second.pages, second.characters, second.chunks) == (2, first.characters, 7)
    assert second.content_id == first.content_id
    assert (second.worker, second.lease_until) == ("", None)
    assert sender.told("u2") == ["receiving", "ready"]
    extracted = [news for news in sender.news if news.get("stage") == "extract" and news["id"] == "u2"]
    assert [(news["done"], news["total"]) for news in extracted] == [(2, 2)]
    await library.forget(sender.owner_id, first.pk)
    [text] = await library.load_texts(sender.owner_id, [second.content_id])
    assert (text.name, text.pages) == ("b.pdf", ("Alpha", "Beta"))


async def test_the_engine_hears_what_another_owner_calls_it(
    sender: Sender, make_sender: MakeSender, settings: Any
) -> None:
    async with keeper(settings) as engine:
        await sent(sender, "u1", name="a.pdf")
        await sent(await make_sender(), "u1", name="b.pdf")
        assert [frame["name"] for frame in told(engine, "document")] == ["a.pdf", "b.pdf"]


async def test_an_engine_that_has_not_got_it_is_given_it(sender: Sender, settings: Any) -> None:
    first = await sent(sender, "u1")
    assert first.chunks in (0, None)
    async with keeper(settings) as engine:
        assert (await sent(sender, "u2")).chunks == 7
        assert len(told(engine, "document_end")) == 1


async def test_where_it_would_be_read_differently_it_is_read_again(sender: Sender, settings: Any) -> None:
    async with keeper(settings) as engine:
        await sent(sender, "u1")
        settings.MIVA_PDF_ENGINES = ("pypdf2",)
        reader.stop()  # as after a restart
        await sent(sender, "u2")
        assert len(sender.files("texts")) == 2
        assert len(told(engine, "document_end")) == 2
    reader.stop()


async def test_what_a_password_opened_is_not_opened_without_it(sender: Sender, settings: Any) -> None:
    locked = encrypted("secret", "right", "owner")
    async with keeper(settings):
        assert (await sent(sender, "u1", locked, password="right")).status == "ready"
        again = await sent(sender, "u2", locked)
        assert (again.status, again.error) == ("failed", "encrypted_pdf")
        assert (await sent(sender, "u3", locked, password="right")).status == "ready"
