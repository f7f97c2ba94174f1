"""The rows of documents: made, saved, found and deleted. Blocking functions, for `library`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from miva.documents import reader, store
from miva.documents.reader import Reading, Received
from miva.history import storable
from miva.models import Document
from miva.protocol.errors import Forbidden, NotFound

MOST_DOCUMENTS = 1000
"""Documents an owner may keep; the public guest's are everybody's, so there the bound matters most."""
MOST_FAILED = 100
"""Failed ones that are kept to be seen; older ones go."""


def described(document: Document) -> dict[str, Any]:
    """The object that clients see of a document (contract section 3.3)."""
    shown: dict[str, Any] = {
        "id": str(document.pk),
        "name": document.name,
        "pages": document.pages,
        "characters": document.characters,
        "sha256": document.sha256,
        "status": document.status,
    }
    return shown | ({"error": document.error} if document.error else {})


def create(owner_id: UUID, received: Received) -> Document:
    """A row for a file that is here and not read; the owner's own one where they have sent the same file before.

    Raises Forbidden where the owner keeps too many.
    """
    name = storable(received.name)[:255]
    mine = Document.objects.filter(owner_id=owner_id)
    before = mine.filter(sha256=received.sha256, name=name, text_name="", status=Document.Status.READY).first()
    if before is not None:
        before.status = Document.Status.READING  # in the row it stays ready: what was read is still there
        before.pages = before.characters = None
        return before
    failed = mine.filter(status=Document.Status.FAILED).order_by("-created_at").values_list("pk", flat=True)
    mine.filter(pk__in=list(failed[MOST_FAILED : 2 * MOST_FAILED])).delete()
    if mine.exclude(status=Document.Status.FAILED).count() >= MOST_DOCUMENTS:
        raise Forbidden(f"You keep {MOST_DOCUMENTS:,} documents already. Delete some first.")
    return Document.objects.create(
        id=uuid4(),
        owner_id=owner_id,
        name=name,
        media_type=received.media_type,
        sha256=received.sha256,
        content_id=received.sha256,
        size=received.size,
        status=Document.Status.READING,
    )


def fail_stale() -> int:
    """Marks documents as failed that a server which is gone had begun to read; returns how many."""
    longest = timedelta(seconds=4 * settings.MIVA_PDF_TIMEOUT_S + settings.MIVA_ENGINE_TIMEOUT_S)
    unready = (Document.Status.RECEIVING, Document.Status.READING, Document.Status.INDEXING)
    stale = Document.objects.filter(status__in=unready, created_at__lt=timezone.now() - longest)
    return stale.update(status=Document.Status.FAILED, error="internal")


def save(document: Document, status: Document.Status) -> None:
    """Stores what is known of a document now."""
    document.status = status
    Document.objects.filter(pk=document.pk).update(
        status=status,
        pages=document.pages,
        characters=document.characters,
        chunks=document.chunks,
        content_id=document.content_id,
        text_name=document.text_name,
    )


def fail(document: Document, code: str) -> None:
    """Marks a document as failed, but not one that was ready before."""
    document.status, document.error = Document.Status.FAILED, code
    unread = Document.objects.filter(pk=document.pk).exclude(status=Document.Status.READY)
    unread.update(status=document.status, error=code)


def describe_text(document: Document, reading: Reading, password: str | None) -> None:
    """Fills in what reading a document showed, and where its text is kept."""
    document.pages, document.characters = len(reading.pages), reading.characters
    if password and reader.known(document.sha256) is None:  # it could not be read without the password
        document.text_name = store.text_name(document.sha256, reader.current_limits(), password)
        document.content_id = hashlib.sha256(document.text_name.encode()).hexdigest()


def owned(owner_id: UUID, ids: Sequence[str]) -> list[Document]:
    """The owner's documents of these ids, in that order; raises NotFound for any other id."""
    wanted = []
    for id in dict.fromkeys(ids):
        try:
            wanted.append(UUID(id))
        except ValueError as why:
            raise NotFound("There is no such document.") from why
    return _in_order(Document.objects.filter(owner_id=owner_id).in_bulk(wanted), wanted)


def fresh(ids: Sequence[UUID]) -> list[Document]:
    """The documents as they are now; raises NotFound where one was deleted."""
    return _in_order(Document.objects.in_bulk(ids), ids)


def all_ready(owner_id: UUID) -> list[Document]:
    """All documents of an owner that can be asked about, newest first."""
    return list(Document.objects.filter(owner_id=owner_id, status=Document.Status.READY))


def by_content(owner_id: UUID, content_ids: Sequence[str]) -> list[Document]:
    """One ready document of the owner for each content id, where there is one."""
    rows = Document.objects.filter(owner_id=owner_id, content_id__in=content_ids, status=Document.Status.READY)
    first: dict[str, Document] = {}
    for document in rows:
        first.setdefault(document.content_id, document)
    return [first[id] for id in dict.fromkeys(content_ids) if id in first]


def kept_reading(document: Document) -> Reading | None:
    """The text of a document, where it is still kept."""
    return store.load(document.text_name) if document.text_name else reader.known(document.sha256)


def received_again(document: Document) -> Received:
    """The kept file of a document, to be read once more; raises NotFound where it is gone."""
    try:
        with reader.original(document.sha256) as file:
            chunks = iter(lambda: file.read(2**20), b"")
            return reader.receive_chunks(chunks, name=document.name, declared=document.media_type)
    except FileNotFoundError as why:
        raise NotFound(f"The file “{document.name}” is gone. Please send it again.") from why


def delete(owner_id: UUID, document_id: UUID) -> str | None:
    """Deletes a document; returns its content id where nobody has that any more. Raises NotFound."""
    document = Document.objects.filter(owner_id=owner_id, pk=document_id).first()
    if document is None:
        raise NotFound()
    sha256, content_id = document.sha256, document.content_id
    document.delete()
    if not Document.objects.filter(sha256=sha256).exists():
        reader.forget(sha256)
    return None if Document.objects.filter(content_id=content_id).exists() else content_id


def _in_order(found: dict[UUID, Document], ids: Sequence[UUID]) -> list[Document]:
    if len(found) != len(set(ids)):
        raise NotFound("There is no such document.")
    return [found[id] for id in ids]
