"""Files that come in pieces, one session at a time: begun, broken off, gone on with, checked and read."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from miva import background_reading, document_leases, document_rows, identity, library, uploads
from miva.documents import reader
from miva.documents.parts import Part
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.models import Document, Owner, User
from miva.protocol import errors
from miva.protocol.requests import Piece
from miva.v1_dialogue import V1Dialogue
from tests.documents.helpers import SECONDS
from tests.documents.test_reader import encrypted
from tests.pdfs import make_pdf
from tests.uploads.conftest import DAY_S, PDF, Sender, upload_of

MakeSender = Callable[[], Awaitable[Sender]]


async def test_a_file_in_pieces_becomes_a_document_that_can_be_asked_about(sender: Sender) -> None:
    session = await sender.open(PDF)
    assert (session.done, session.total, session.is_over) == (0, len(PDF), False)
    assert session.document.status == "receiving"
    assert sender.told() == ["receiving"]
    for start in range(0, len(PDF), 100_000):
        await session.write(PDF[start : start + 100_000])
    assert session.is_over
    document = await sender.ended(session.document.pk)
    assert (document.status, document.pages, document.media_type) == ("ready", 2, "application/pdf")
    assert sender.told() == ["receiving", "reading", "ready"]
    [text] = await library.load_texts(sender.owner_id, [document.content_id])
    assert text.pages == ("Alpha", "Beta")
    with reader.original(document.sha256) as kept:
        assert kept.read() == PDF
    assert sender.files("uploads") == []
    assert all(word["id"] == "u1" for word in sender.news)


async def test_a_broken_upload_goes_on_from_the_bytes_that_are_here(sender: Sender) -> None:
    first = await sender.open(PDF)
    await first.write(PDF[:123_456])
    del first  # its socket, or its process, is gone without a word
    second = await sender.open(PDF)
    assert (second.done, second.is_over) == (123_456, False)
    assert sender.told() == ["receiving"]
    assert [word["kind"] for word in sender.news] == ["document"]  # going on is nobody else's news
    await second.write(PDF[123_456:200_000])
    await second.close()
    third = await sender.send(PDF)
    assert third.document.pk == second.document.pk
    assert (await sender.ended(third.document.pk)).status == "ready"


async def test_the_newer_of_two_connections_sends_and_the_older_hears_so(sender: Sender) -> None:
    older = await sender.open(PDF)
    await older.write(PDF[:1000])
    newer = await sender.open(PDF)
    assert newer.done == 1000
    with pytest.raises(errors.Busy, match="another connection"):
        await older.write(b"x" * 1000)
    assert older.is_over
    with pytest.raises(errors.BadFrame):
        await older.write(PDF[1000:2000])
    await newer.write(PDF[1000:])
    document = await sender.ended(newer.document.pk)
    assert (document.status, document.sha256) == ("ready", sha256(PDF).hexdigest())
    assert sender.told()[-1] == "ready"


async def test_many_connections_with_the_same_file_make_one_document(sender: Sender) -> None:
    async def send() -> None:
        try:
            await sender.send(PDF, piece=30_000)
        except errors.Busy:
            await asyncio.sleep(0.05)
            await send()

    await asyncio.gather(*(send() for _ in range(8)))
    documents = await in_thread(lambda: list(Document.objects.filter(owner_id=sender.owner_id)))()
    assert len(documents) == 1
    assert (await sender.ended(documents[0].pk)).status == "ready"
    assert sender.files("uploads") == []


async def test_a_connection_that_settles_too_late_lets_the_file_be_read(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may see the last byte; the one that comes too late took the other's lease, and nobody read the file."""
    go_on = threading.Event()
    take = document_leases.take

    def taken_late(id: UUID) -> bool:
        go_on.wait(SECONDS)
        return take(id)

    monkeypatch.setattr(document_leases, "take", taken_late)
    session = await sender.send(PDF)
    await background_reading.settle(session.document, None)
    go_on.set()
    assert (await sender.ended(session.document.pk)).status == "ready"


async def test_bytes_that_are_not_the_announced_ones_are_refused_and_may_be_sent_anew(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(b"%PDF" + bytes(len(PDF) - 4))
    with pytest.raises(errors.BadField) as refused:
        await session.settled()
    assert refused.value.field == "sha256"
    document = await sender.document(session.document.pk)
    assert (document.status, document.error) == ("failed", "bad_field")
    assert sender.files("uploads") == sender.files("documents") == []
    again = await sender.send(PDF)
    assert again.document.pk == document.pk
    assert (await sender.ended(document.pk)).status == "ready"
    assert sender.told() == ["receiving", "failed bad_field", "receiving", "reading", "ready"]


async def test_how_far_it_came_is_told_before_that_it_was_refused(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a client that begins anew takes it for the answer, and goes on from there."""
    frames: list[str] = []

    async def send(*texts: str) -> None:
        frames.extend(texts)

    let_go = Part.close

    def slowly(part: Part) -> None:
        time.sleep(0.3)  # the file is settled meanwhile
        let_go(part)

    monkeypatch.setattr(Part, "close", slowly)
    dialogue = V1Dialogue(Speaker(sender.owner_id, Owner.Kind.GUEST, "Guest"), "caller", send)
    await dialogue.carry_out(upload_of(PDF))
    with pytest.raises(errors.BadField):
        await dialogue.carry_out(Piece(b"%PDF" + bytes(len(PDF) - 4)))
    told = [json.loads(frame) for frame in frames]
    assert [frame["done"] for frame in told if frame["type"] == "progress"] == [0, len(PDF)]
    await dialogue.close()


async def test_more_bytes_than_announced_are_refused(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    with pytest.raises(errors.BadField) as refused:
        await session.write(PDF[1000:] + b"x")
    assert refused.value.field == "size"
    assert sender.told() == ["receiving", "failed bad_field"]
    assert sender.files("uploads") == []
    again = await sender.open(PDF)
    assert again.done == 0


async def test_a_size_over_the_limit_is_refused_before_anything_is_kept(sender: Sender, settings: Any) -> None:
    settings.MIVA_MAX_FILE_BYTES = len(PDF) - 1
    with pytest.raises(errors.FileTooLarge):
        await sender.open(PDF)
    assert sender.news == []
    assert not await in_thread(Document.objects.filter(owner_id=sender.owner_id).exists)()


async def test_what_is_no_pdf_fails_as_a_document_and_leaves_nothing(sender: Sender) -> None:
    session = await sender.send(b"no PDF at all" * 1000)
    document = await sender.ended(session.document.pk)
    assert (document.status, document.error) == ("failed", "not_a_pdf")
    broken = await sender.send(b"%PDF-1.7 and nothing else", "u2")
    assert (await sender.ended(broken.document.pk)).error == "broken_pdf"
    assert sender.told("u2") == ["receiving", "reading", "failed broken_pdf"]
    assert sender.files("uploads") == sender.files("documents") == []


async def test_a_text_file_is_told_by_its_name(sender: Sender) -> None:
    session = await sender.send(b"Ada wrote it.", name="note.txt", media_type="")
    document = await sender.ended(session.document.pk)
    assert (document.status, document.media_type, document.pages) == ("ready", "text/plain", 1)


async def test_a_locked_file_needs_its_password_and_no_bytes_again(sender: Sender) -> None:
    locked = encrypted("secret", "right", "owner")
    session = await sender.send(locked)
    document = await sender.ended(session.document.pk)
    assert (document.status, document.error) == ("failed", "encrypted_pdf")
    for password in (None, "wrong"):
        again = await sender.open(locked, password=password)
        assert (again.done, again.is_over, again.document.pk) == (len(locked), True, document.pk)
        document = await sender.ended(document.pk)
        assert (document.status, document.error) == ("failed", "encrypted_pdf")
    await sender.open(locked, password="right")
    document = await sender.ended(document.pk)
    assert (document.status, document.error, document.pages) == ("ready", "", 1)
    [text] = await library.load_texts(sender.owner_id, [document.content_id])
    assert text.pages == ("secret",)
    assert document.content_id != document.sha256


async def test_why_a_document_failed_is_told_where_its_code_does_not_say_it(sender: Sender) -> None:
    blank = await sender.send(b" \n" * 100, name="blank.txt", media_type="text/plain")
    document = await sender.ended(blank.document.pk)
    words = "There is nothing but white space in this file."
    shown = document_rows.described(document)
    assert (shown["error"], shown["message"]) == ("no_text", words)
    with pytest.raises(errors.NoText, match=words):
        await library.wait_until_read([document])
    fake = await sender.send(b"no PDF at all", "u2")
    document = await sender.ended(fake.document.pk)
    assert "message" not in document_rows.described(document)
    with pytest.raises(errors.NotAPdf, match=r"This file is not a PDF, whatever its name says\."):
        await library.wait_until_read([document])


async def test_the_refusal_of_a_question_names_all_files_that_could_not_be_read(sender: Sender) -> None:
    sent = [await sender.send(b"no PDF at all" + id.encode(), id, name=f"{id}.pdf") for id in ("one", "two")]
    failed = [await sender.ended(session.document.pk) for session in sent]
    with pytest.raises(errors.NotAPdf, match=r"“one\.pdf” could not be read\..*“two\.pdf” could not be read"):
        await library.wait_until_read(failed)


async def test_a_password_may_come_with_the_first_frame(sender: Sender) -> None:
    session = await sender.send(encrypted("secret", "right", "owner"), password="right")
    assert (await sender.ended(session.document.pk)).status == "ready"


async def test_a_locked_file_is_forgotten_when_no_password_comes_in_a_day(sender: Sender) -> None:
    locked = encrypted("secret", "right", "owner")
    document = await sender.ended((await sender.send(locked)).document.pk)
    await background_reading.take_over_stale()
    assert len(sender.files("documents")) == 1
    assert document.lease_until is not None
    assert document.lease_until > timezone.now() + timedelta(seconds=0.9 * DAY_S)
    await sender.change(document.pk, lease_until=timezone.now() - timedelta(seconds=1))
    background_reading._tidied_at = None
    await background_reading.take_over_stale()
    assert sender.files("documents") == []
    session = await sender.open(locked, password="right")
    assert (session.done, session.document.pk) == (0, document.pk)


async def test_the_same_id_with_another_file_is_another_document(sender: Sender) -> None:
    first = await sender.send(PDF)
    await sender.ended(first.document.pk)
    other = make_pdf(["Gamma"])
    second = await sender.send(other)
    assert second.document.pk != first.document.pk
    assert (await sender.ended(second.document.pk)).pages == 1
    before = await sender.document(first.document.pk)
    assert (before.status, before.upload_id) == ("ready", "")


async def test_a_file_that_is_ready_is_told_so_again(sender: Sender) -> None:
    first = await sender.send(PDF)
    await sender.ended(first.document.pk)
    sender.news.clear()
    again = await sender.open(PDF)
    assert (again.done, again.total, again.is_over, again.document.pk) == (len(PDF), len(PDF), True, first.document.pk)
    assert sender.told() == ["ready"]


async def test_an_id_is_its_owners_own(sender: Sender, make_sender: MakeSender) -> None:
    bob = await make_sender()
    mine, his = await sender.open(PDF), await bob.open(PDF)
    assert mine.document.pk != his.document.pk
    await his.write(PDF[:10])
    await mine.write(PDF[:20])
    assert (mine.done, his.done) == (20, 10)


async def test_a_question_waits_for_a_file_that_is_still_being_sent(sender: Sender) -> None:
    session = await sender.open(PDF)
    waiting = asyncio.create_task(library.wait_until_read([session.document]))
    await session.write(PDF[:200_000])
    await asyncio.sleep(1)
    assert not waiting.done()
    await session.write(PDF[200_000:])
    [document] = await waiting
    assert (document.status, document.pages) == ("ready", 2)


async def test_a_question_about_a_file_that_cannot_be_read_fails_with_its_code(sender: Sender) -> None:
    locked = encrypted("secret", "right", "owner")
    session = await sender.open(locked)
    waiting = asyncio.create_task(library.wait_until_read([session.document]))
    await session.write(locked)
    with pytest.raises(errors.EncryptedPdf):
        await waiting


async def test_patience_is_counted_from_the_last_sign_of_life(sender: Sender, settings: Any) -> None:
    settings.MIVA_PDF_TIMEOUT_S, settings.MIVA_ENGINE_TIMEOUT_S = 0.5, 0.5
    session = await sender.open(PDF)
    waiting = asyncio.create_task(library.wait_until_read([session.document]))
    for _ in range(8):
        await asyncio.sleep(0.4)
        await sender.change(session.document.pk, lease_until=timezone.now() + timedelta(days=1))
    assert not waiting.done()
    with pytest.raises(errors.Busy):
        await waiting


async def test_the_http_upload_goes_on_with_a_file_that_began_in_pieces(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    received = await in_thread(reader.receive_chunks)([PDF], name="a.pdf", declared="application/pdf")
    document = await library.add(sender.owner_id, received, upload_id="u1")
    assert (document.pk, document.status) == (session.document.pk, "ready")
    with pytest.raises(errors.Busy):
        await session.write(PDF[1000:2000])
    assert sender.files("uploads") == []
    again = await sender.open(PDF)
    assert (again.is_over, again.document.pk) == (True, document.pk)


async def test_pieces_that_nobody_goes_on_with_are_deleted_after_a_day(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    await session.close()
    await background_reading.take_over_stale()
    assert len(sender.files("uploads")) == 2
    await sender.change(session.document.pk, lease_until=timezone.now() - timedelta(seconds=1))
    background_reading._tidied_at = None
    await background_reading.take_over_stale()
    assert sender.files("uploads") == []
    assert sender.told() == ["receiving", "failed not_found"]
    assert not await in_thread(Document.objects.filter(pk=session.document.pk).exists)()


async def test_pieces_without_a_document_are_deleted_too(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    await session.close()
    await in_thread(Document.objects.filter(pk=session.document.pk).delete)()
    for path in (sender.folder / "uploads").iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3 * DAY_S))
    await background_reading.take_over_stale()
    assert sender.files("uploads") == []


async def test_a_document_may_be_deleted_while_it_is_sent(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.write(PDF[:1000])
    await library.forget(sender.owner_id, session.document.pk)
    assert sender.files("uploads") == []
    with pytest.raises(errors.NotFound):
        await session.write(PDF[1000:2000])
    assert sender.files("uploads") == []


async def test_a_full_disk_costs_no_byte_that_is_there(sender: Sender) -> None:
    session = await sender.open(PDF)
    await session.close()
    [part] = (sender.folder / "uploads").glob("*.part")
    part.unlink()
    part.symlink_to("/dev/full")  # takes no byte, as a full disk does
    session = await sender.open(PDF)
    with pytest.raises(errors.Busy, match="no room"):
        await session.write(PDF[:1000])
    part.unlink()
    await sender.send(PDF)
    assert (await sender.ended(session.document.pk)).status == "ready"


async def test_there_is_a_bound_on_files_under_way_and_idle_ones_give_way(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miva.upload_rows.MOST_RECEIVING", 3)
    sessions = [await sender.open(PDF, f"u{number}") for number in range(3)]
    with pytest.raises(errors.Busy, match="Too many files"):
        await sender.open(PDF, "u3")
    await sender.change(sessions[1].document.pk, lease_until=timezone.now() + timedelta(seconds=DAY_S - 3600))
    await sender.open(PDF, "u3")
    with pytest.raises(errors.NotFound):
        await sessions[1].write(PDF[:10])
    await sessions[0].write(PDF[:10])


async def test_a_guests_files_move_to_the_account_with_the_names_that_are_free_there(sender: Sender) -> None:
    def account() -> tuple[User, UUID]:
        name = uuid4().hex
        user = User.objects.create_user(name, f"{name}@example.org")
        return user, identity.owner_of_user(user).pk

    user, owner_id = await in_thread(account)()
    taken = await uploads.open(owner_id, upload_of(PDF, "u1"))
    clashing, moving = await sender.open(PDF, "u1"), await sender.open(PDF, "u2")
    await moving.write(PDF[:1000])
    await in_thread(identity.move_guest)(sender.owner_id, user)
    rows = {session: await sender.document(session.document.pk) for session in (taken, clashing, moving)}
    assert {row.owner_id for row in rows.values()} == {owner_id}
    assert [rows[session].upload_id for session in (taken, clashing, moving)] == ["u1", "", "u2"]
    sender.owner_id = owner_id
    sender.listen()
    assert (await sender.open(PDF, "u2")).done == 1000
    assert (await sender.send(PDF, "u2")).document.pk == moving.document.pk
    assert (await sender.ended(moving.document.pk)).status == "ready"


async def test_a_file_that_is_sent_twice_at_once_over_http_is_one_document(sender: Sender) -> None:
    async def add() -> Document:
        received = await in_thread(reader.receive_chunks)([PDF], name="a.pdf", declared="application/pdf")
        return await library.add(sender.owner_id, received, upload_id="u1")

    documents = await asyncio.gather(*(add() for _ in range(4)))
    assert len({document.pk for document in documents}) == 1
    assert {document.status for document in documents} == {"ready"}
