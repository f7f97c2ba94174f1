"""Documents whose reading process died, stalls or ends: read again by another, from the bytes that were kept first."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from miva import background_reading, document_leases, library, stopping
from miva.documents import reader, store
from miva.in_thread import in_thread
from miva.models import Document
from miva.protocol import errors
from tests.documents.helpers import eventually_async
from tests.documents.test_reader import encrypted
from tests.operations.talk import eventually
from tests.pdfs import make_pdf
from tests.uploads.conftest import PDF, Sender, upload_of

MakeSender = Callable[[], Awaitable[Sender]]
DEAD = {"worker": "dead", "lease_until": timezone.now() - timedelta(seconds=1)}


def no_progress(*_: Any) -> None:
    pass


async def begun(sender: Sender, data: bytes = PDF, name: str = "a.pdf") -> Document:
    """A file that came whole, kept and not yet read."""
    received = await in_thread(reader.receive_chunks)([data], name=name, declared="application/pdf")
    return await library.begin(sender.owner_id, received, None)


async def left_behind(sender: Sender, document: Document, **columns: Any) -> None:
    """As `begun`, but by a process that is dead."""
    document_leases.drop(document.pk)
    await sender.change(document.pk, **DEAD | columns)


async def test_the_original_is_on_disk_before_reading_begins(sender: Sender) -> None:
    received = await in_thread(reader.receive_chunks)([PDF], name="a.pdf", declared="application/pdf")
    document = await library.begin(sender.owner_id, received, None)
    with reader.original(document.sha256) as kept:
        assert kept.read() == PDF
    assert sender.files("texts") == []
    assert set(sender.files("tmp")) <= {".lock"}
    read = await library.finish(document, None, password=None, on_progress=no_progress)
    assert (read.status, read.pages) == ("ready", 2)


async def test_a_document_of_a_dead_process_is_read_by_another(sender: Sender) -> None:
    document = await begun(sender)
    assert await background_reading.take_over_stale() == 0  # its process lives
    await left_behind(sender, document)
    waiting = asyncio.create_task(library.wait_until_read([document]))
    assert await background_reading.take_over_stale() == 1
    assert await background_reading.take_over_stale() == 0
    assert [(found.status, found.pages) for found in await waiting] == [("ready", 2)]
    await eventually(lambda: sender.told(str(document.pk)) == ["reading", "ready"])  # told once it is stored


async def test_a_row_of_a_server_without_leases_is_ended_when_nothing_was_kept(sender: Sender) -> None:
    document = await begun(sender)
    await left_behind(sender, document, worker="", lease_until=None)
    reader.forget(document.sha256)
    assert await background_reading.take_over_stale() == 1
    assert (await sender.ended(document.pk)).error == "not_found"


async def test_a_password_dies_with_its_process(sender: Sender) -> None:
    locked = encrypted("secret", "right", "owner")
    session = await sender.open(locked, password="right")
    await session.write(locked[:10])
    await session.close()
    await sender.send(locked)
    assert (await sender.ended(session.document.pk)).error == "encrypted_pdf"
    await sender.open(locked, password="right")
    assert (await sender.ended(session.document.pk)).status == "ready"


async def test_a_file_that_ends_one_process_after_another_is_given_up(sender: Sender) -> None:
    document = await begun(sender)
    await left_behind(sender, document, attempt=document_leases.MOST_ATTEMPTS)
    assert await background_reading.take_over_stale() == 1
    failed = await sender.ended(document.pk)
    assert (failed.status, failed.error) == ("failed", "internal")
    assert sender.files("documents") == []


@pytest.mark.parametrize("is_half_settled", [False, True])
async def test_a_process_that_dies_after_the_last_byte_leaves_a_document(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, is_half_settled: bool
) -> None:
    async def dead(*_: Any) -> None:
        pass

    session = await sender.open(PDF)
    await session.write(PDF[:-1])
    with monkeypatch.context() as patch:
        patch.setattr(background_reading, "settle", dead)
        await session.write(PDF[-1:])
    if is_half_settled:  # between the row and the original
        sha256 = upload_of(PDF).sha256
        await sender.change(session.document.pk, status="reading", sha256=sha256, content_id=sha256)
    assert await background_reading.take_over_stale() == 0  # its lease is not over
    await sender.change(session.document.pk, lease_until=DEAD["lease_until"])
    assert await background_reading.take_over_stale() == 1
    assert (await sender.ended(session.document.pk)).status == "ready"
    assert sender.files("uploads") == []


async def test_bytes_on_another_machine_are_left_to_that(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    await session.close()
    await sender.change(session.document.pk, **DEAD)
    assert await background_reading.take_over_stale() == 0
    await sender.send(PDF)
    assert (await sender.ended(session.document.pk)).status == "ready"


async def test_a_lease_is_renewed_until_the_document_is_read(sender: Sender) -> None:
    document = await begun(sender)
    seen = set()
    for _ in range(15):
        await asyncio.sleep(0.2)
        seen.add((await sender.document(document.pk)).lease_until)
        assert await background_reading.take_over_stale() == 0
    assert len(seen) > 5
    await library.abandon(document, None)
    failed = await sender.document(document.pk)
    assert (failed.status, failed.error, failed.lease_until) == ("failed", "busy", None)
    assert sender.files("documents") == []


async def test_a_reader_that_lost_its_lease_waits_for_the_one_who_has_it(sender: Sender) -> None:
    document = await begun(sender)
    until = timezone.now() + timedelta(hours=1)
    await sender.change(document.pk, worker="another", lease_until=until)
    reading = asyncio.create_task(library.finish(document, None, password=None, on_progress=no_progress))
    await asyncio.sleep(1)
    assert not reading.done()
    row = await sender.document(document.pk)
    assert (row.status, row.worker) == ("reading", "another")
    await sender.change(document.pk, status="ready", pages=7, worker="", lease_until=None)
    assert (await reading).pages == 7


async def test_a_reader_that_is_cancelled_leaves_the_document_to_others(sender: Sender) -> None:
    document = await begun(sender, make_pdf([f"page {number}" for number in range(3000)]))
    before = reader.files_read()
    reading = asyncio.create_task(library.finish(document, None, password=None, on_progress=no_progress))
    await eventually_async(lambda: asyncio.sleep(0, reader.files_read() > before))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await sender.document(document.pk)).status == "reading"
    assert await background_reading.take_over_stale() == 1
    assert (await sender.ended(document.pk)).pages == 3000


async def test_a_process_that_ends_hands_over_what_it_reads(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await sender.send(make_pdf([f"page {number}" for number in range(3000)]))
    monkeypatch.setattr(stopping, "_has_begun", True)
    await background_reading.hand_over()
    reader.stop()
    row = await sender.document(session.document.pk)
    assert row.status == "reading"
    assert await background_reading.take_over_stale() == 0  # not by itself
    monkeypatch.setattr(stopping, "_has_begun", False)
    assert await background_reading.take_over_stale() == 1
    assert (await sender.ended(session.document.pk)).pages == 3000


async def add(owner_id: UUID, data: bytes) -> Document:
    """A text file that comes whole."""
    received = await in_thread(reader.receive_chunks)([data], name="a.txt", declared="text/plain")
    return await library.add(owner_id, received)


async def assert_whole(owner_id: UUID, document: Document, text: str) -> None:
    """The document's original and text are kept."""
    store.empty_cache()
    assert reader.is_kept(document.sha256), text
    assert reader.known(document.sha256) is not None, text
    [found] = await library.load_texts(owner_id, [document.content_id])
    assert found.pages == (text,)


async def test_deleting_the_last_copy_while_the_same_is_sent_loses_nothing(
    sender: Sender, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = await make_sender()
    forget = reader.forget
    is_forgetting = threading.Event()

    def slowly(sha256: str) -> None:
        is_forgetting.set()
        time.sleep(0.5)
        forget(sha256)

    monkeypatch.setattr(reader, "forget", slowly)
    before = await add(sender.owner_id, b"the same")
    deleting = asyncio.create_task(library.forget(sender.owner_id, before.pk))
    await asyncio.to_thread(is_forgetting.wait)
    after = await add(bob.owner_id, b"the same")
    await deleting
    await assert_whole(bob.owner_id, after, "the same")


async def test_deleting_and_sending_at_the_same_moment_in_any_order(sender: Sender, make_sender: MakeSender) -> None:
    bob = await make_sender()
    for number in range(40):
        text = f"text {number}"
        before = await add(sender.owner_id, text.encode())
        store.empty_cache()

        async def delete(id: UUID = before.pk, pause: float = number / 2000) -> None:
            await asyncio.sleep(pause)
            await library.forget(sender.owner_id, id)

        after, _ = await asyncio.gather(add(bob.owner_id, text.encode()), delete())
        await assert_whole(bob.owner_id, after, text)


async def test_a_document_that_is_deleted_while_it_is_read_leaves_nothing(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await begun(sender)
    read = reader.read

    async def read_and_deleted(*args: Any, **kwargs: Any) -> reader.Reading:
        reading = await read(*args, **kwargs)
        await library.forget(sender.owner_id, document.pk)
        return reading

    monkeypatch.setattr(reader, "read", read_and_deleted)
    with pytest.raises(errors.NotFound):
        await library.finish(document, None, password=None, on_progress=no_progress)
    assert sender.files("documents") == sender.files("texts") == []


async def test_originals_may_lie_in_a_storage_that_has_no_folder(sender: Sender, settings: Any) -> None:
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    session = await sender.send(PDF)
    document = await sender.ended(session.document.pk)
    assert (document.status, document.pages) == ("ready", 2)
    with reader.original(document.sha256) as kept:
        assert kept.read() == PDF
    assert sender.files("uploads") == sender.files("documents") == []
