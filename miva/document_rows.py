"""The rows of documents: made, saved, found and deleted. Blocking functions, for `library`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from miva import document_leases, lease, plain_sql
from miva.documents import reader, store
from miva.documents.parts import KEPT_S, Part
from miva.documents.reader import Original, Reading, Received
from miva.documents.refusal import LOCKED_FOR_GOOD
from miva.history import storable
from miva.models import Document
from miva.protocol.errors import EncryptedPdf, Forbidden, MivaError, NotFound, error_of

MOST_DOCUMENTS = 1000
"""Documents an owner may keep; the public guest's are everybody's, so there the bound matters most."""
MOST_FAILED = 100
"""Failed ones that are kept to be seen; older ones go."""

TABLE = Document._meta.db_table
_Status = Document.Status
_NONE = "There is no such document."


def described(document: Document) -> dict[str, Any]:
    """The object that clients see of a document (contract section 3.3)."""
    shown: dict[str, Any] = {
        "id": str(document.pk),
        "name": document.name,
        "pages": document.pages,
        "characters": document.characters,
        "sha256": document.sha256 or None,
        "status": document.status,
    }
    return shown | {name: why for name in ("error", "message") if (why := getattr(document, name))}


def reason(document: Document) -> str:
    """Why a document failed, in words for a person."""
    return document.message or error_of(document.error).sentence


def wants_password(document: Document) -> bool:
    """Whether a document failed for want of a password that can open it."""
    return document.error == EncryptedPdf.code and document.message != LOCKED_FOR_GOOD


@contextlib.contextmanager
def content_held(sha256: str) -> Iterator[None]:
    """A transaction in which nobody else decides whether what is kept of a content is still wanted.

    Whoever is about to rely on a content stores a row with its hash in here first and keeps the content after; whoever
    forgets a content looks for such rows in here, and does it in here.
    """
    with transaction.atomic():  # on SQLite nobody else writes meanwhile
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                key = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True)
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        yield


def create(owner_id: UUID, received: Received, upload_id: str = "") -> Document:
    """A row for a file that is here, to be read by this process; the ready one of an owner who sent the same before.

    `upload_id` is the client's own name for the file: one that it began to send in pieces under this name becomes this
    one. Raises Forbidden where the owner keeps too many.
    """
    try:
        with content_held(received.sha256):
            return _create(owner_id, received, storable(upload_id))
    except IntegrityError:  # sent twice under this name at the same moment: now the other is there
        with content_held(received.sha256):
            return _create(owner_id, received, storable(upload_id))


def make_room(owner_id: UUID) -> None:
    """Sees to it that an owner may have one document more; raises Forbidden."""
    query = (
        "SELECT COUNT(*) FILTER (WHERE status <> %s), COUNT(*) FILTER (WHERE status = %s AND lease_until IS NULL)"  # noqa: S608
        f" FROM {TABLE} WHERE owner_id = %s"
    )
    [(kept, failed)] = plain_sql.rows(query, (_Status.FAILED.value, _Status.FAILED.value, owner_id))
    if failed > MOST_FAILED:
        mine = Document.objects.filter(owner_id=owner_id)
        last = mine.filter(status=_Status.FAILED, lease_until=None).order_by("-created_at").values_list("pk", flat=True)
        mine.filter(pk__in=list(last[MOST_FAILED : 2 * MOST_FAILED])).delete()
    if kept >= MOST_DOCUMENTS:
        raise Forbidden(f"You keep {MOST_DOCUMENTS:,} documents already. Delete some first.")


def save(document: Document, status: Document.Status) -> bool:
    """Stores what this process knows of a document that it reads; False where it is not the reader any more.

    The document's owner is brought up to date: a guest may have signed in meanwhile.
    """
    names = ("pages", "characters", "chunks", "content_id", "text_name")
    told = [f"{name} = %s" for name in names] + ["worker = '', lease_until = NULL"] * (status == _Status.READY)
    unready = [state.value for state in document_leases.UNREADY]
    statement = (
        f"UPDATE {TABLE} SET status = %s, {', '.join(told)} WHERE id = %s AND worker = %s"  # noqa: S608
        f" AND status IN ({', '.join(['%s'] * len(unready))})"
    )
    values = [getattr(document, name) for name in names]
    saved = plain_sql.changed(statement, (status.value, *values, document.pk, lease.WORKER, *unready))
    owners = plain_sql.rows(f"SELECT owner_id FROM {TABLE} WHERE id = %s", (document.pk,)) if saved else []  # noqa: S608
    if not owners:
        return False
    document.status, document.owner_id = status, plain_sql.uuid_of(owners[0][0])
    return True


def fail(document: Document, why: MivaError) -> bool:
    """Marks a document as failed; False where there is nothing to fail: it is read, deleted, or another reads it.

    What is kept of its content goes too, where nobody else has it; but a locked file waits for its password where the
    client can give it without sending the bytes again.
    """
    failure = {"error": why.code, "message": "" if why.message == why.sentence else storable(why.message)}
    is_waiting = wants_password(Document(**failure)) and bool(document.upload_id)
    unread = Document.objects.filter(pk=document.pk, status__in=document_leases.UNREADY)
    unread = unread.filter(Q(worker="") | Q(worker=lease.WORKER))
    until = lease.ends_at(KEPT_S) if is_waiting else None
    with content_held(document.sha256) if document.sha256 else contextlib.nullcontext():
        is_failed = bool(unread.update(status=_Status.FAILED, worker="", lease_until=until, **failure))
        # One that was deleted may have been so before all was kept that is kept now.
        is_over = is_failed or not Document.objects.filter(pk=document.pk).exists()
        if document.sha256 and is_over and not is_waiting:
            forget_unused(document.sha256)
    if is_failed:
        document.status, document.error, document.message = _Status.FAILED, failure["error"], failure["message"]
        Part(document.pk).remove()
    return is_failed


def forget_unused(sha256: str) -> None:
    """Forgets what is kept of a content that no document relies on."""
    with content_held(sha256):
        if not _relying().filter(sha256=sha256).exists():
            reader.forget(sha256)


def forget_locked() -> None:
    """Forgets the locked files for which no password came in time."""
    late = Document.objects.filter(status=_Status.FAILED, lease_until__lt=Now())
    for pk, sha256 in list(late.values_list("pk", "sha256")):
        if late.filter(pk=pk).update(lease_until=None):
            forget_unused(sha256)


def describe_as_before(document: Document, engine_keeps: bool) -> bool:
    """Fills in the same from another document of the owner that is the same file, so that it need not be read again.

    False where there is none, where it would be read differently by now, or where an engine that keeps documents (where
    `engine_keeps`) has not got it.
    """
    query = (
        f"SELECT pages, characters, chunks FROM {TABLE} WHERE owner_id = %s AND sha256 = %s AND text_name = ''"  # noqa: S608
        f" AND status = %s{' AND chunks > 0' if engine_keeps else ''} ORDER BY created_at DESC LIMIT 1"
    )
    same = plain_sql.rows(query, (document.owner_id, document.sha256, _Status.READY.value))
    if not same or not reader.is_known(document.sha256):
        return False
    [(document.pages, document.characters, document.chunks)] = same
    return True


def describe_text(document: Document, reading: Reading, password: str | None) -> None:
    """Fills in what reading a document showed, and where its text is kept."""
    document.pages, document.characters = len(reading.pages), reading.characters
    if password and reader.known(document.sha256) is None:  # it could not be read without the password
        document.text_name = reader.text_name(document.sha256, password)
        document.content_id = hashlib.sha256(document.text_name.encode()).hexdigest()


def owned(owner_id: UUID, ids: Sequence[str]) -> list[UUID]:
    """The keys of these documents of the owner, in that order; raises NotFound for any other id."""
    try:
        wanted = list(dict.fromkeys(map(UUID, ids)))
    except ValueError as why:
        raise NotFound(_NONE) from why
    places = ", ".join(["%s"] * len(wanted))
    query = f"SELECT COUNT(*) FROM {TABLE} WHERE owner_id = %s AND id IN ({places})"  # noqa: S608
    if wanted and plain_sql.rows(query, (owner_id, *wanted)) != [(len(wanted),)]:
        raise NotFound(_NONE)
    return wanted


def fresh(ids: Sequence[UUID]) -> list[Document]:
    """The documents as they are now; raises NotFound where one was deleted."""
    found = by_key(ids)
    if len(found) != len(set(ids)):
        raise NotFound(_NONE)
    return [found[id] for id in ids]


def by_key(ids: Sequence[UUID]) -> dict[UUID, Document]:
    """Those of these documents that there are (still)."""
    if not ids:
        return {}
    condition = f"id IN ({', '.join(['%s'] * len(ids))})"
    return {document.pk: document for document in plain_sql.found(Document, condition, ids)}


def all_ready(owner_id: UUID) -> list[UUID]:
    """The keys of all documents of an owner that can be asked about, newest first."""
    ready = Document.objects.filter(owner_id=owner_id, status=Document.Status.READY)
    return list(ready.values_list("pk", flat=True))


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


def original(document: Document) -> Original:
    """The kept file of a document."""
    return Original(document.sha256, document.size, document.media_type)


def delete(owner_id: UUID, document_id: UUID) -> str | None:
    """Deletes a document, and what is kept of its content where no other relies on it. Raises NotFound.

    Returns the content id where nobody has that any more.
    """
    mine = Document.objects.filter(owner_id=owner_id, pk=document_id)
    document = mine.first()
    if document is None or not mine.delete()[0]:
        raise NotFound()
    document_leases.drop(document_id)
    Part(document_id).remove()
    if not document.sha256 or document.status == _Status.RECEIVING:  # announced is not sent
        return None
    forget_unused(document.sha256)
    is_left = _relying().filter(content_id=document.content_id).exists()
    return None if is_left or not document.content_id else document.content_id


def _create(owner_id: UUID, received: Received, upload_id: str) -> Document:
    name = storable(received.name)[:255]
    mine = Document.objects.filter(owner_id=owner_id)
    facts = {
        "name": name,
        "media_type": received.media_type,
        "sha256": received.sha256,
        "content_id": received.sha256,
        "size": received.size,
        "status": _Status.READING,
        "error": "",
        "message": "",
    }
    leased = document_leases.begun_here()
    begun = mine.filter(upload_id=upload_id).first() if upload_id else None
    if begun is not None and begun.status in (_Status.RECEIVING, _Status.FAILED):
        mine.filter(pk=begun.pk).update(**facts, **leased)
        Part(begun.pk).remove()
        return mine.get(pk=begun.pk)
    if begun is not None and begun.sha256 == received.sha256:
        return begun
    if begun is not None:
        mine.filter(pk=begun.pk).update(upload_id="")
    before = mine.filter(sha256=received.sha256, name=name, text_name="", status=_Status.READY).first()
    if before is not None:
        return before
    make_room(owner_id)
    document = Document(owner_id=owner_id, upload_id=upload_id, worker=lease.WORKER, attempt=1, **facts)
    plain_sql.insert(document, lease_until=plain_sql.from_now(settings.MIVA_LEASE_S))
    return document


def _relying() -> QuerySet[Document]:
    """Documents that need what is kept of their content: those read or being read, and locked ones."""
    has_it = Q(status__in=(_Status.READING, _Status.INDEXING, _Status.READY))
    return Document.objects.filter(has_it | Q(status=_Status.FAILED, lease_until__gte=Now()))
