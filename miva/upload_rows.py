"""The rows of documents that are sent in pieces: begun, gone on with, settled when the last byte is here.

Blocking functions.
"""

from __future__ import annotations

import copy
from enum import Enum
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from miva import document_leases, lease, plain_sql
from miva.document_rows import TABLE, content_held, describe_as_before, make_room, wants_password
from miva.documents import reader
from miva.documents.parts import KEPT_S, Part, TakenOver
from miva.history import storable
from miva.models import Document
from miva.protocol.errors import BadField, Busy, MivaError
from miva.protocol.requests import Upload

MOST_RECEIVING = 50
"""Files of one owner that may be under way at the same time."""
LONGEST_MEDIA_TYPE = 100
"""Characters that are kept of the media type that a client names: the file's first bytes say more than it does."""
MOST_LOOKS = 4
IDLE_S = 600.0
"""Where there are too many, one of which nothing came for so long gives way."""

_Status = Document.Status


class Next(Enum):
    """What is to be done about an upload that a client began or goes on with."""

    BEGIN = "its bytes are wanted from the first on"
    GO_ON = "the missing bytes are wanted"
    READ = "it is here and can be read, now that there is a password"
    NOTHING = "it is here, and its state says what becomes of it"


def arrange(owner_id: UUID, upload: Upload) -> tuple[Document, Next]:
    """The document of an upload, and what to do about it; raises Forbidden and Busy over the bounds."""
    for _ in range(MOST_LOOKS):
        try:
            with transaction.atomic():
                return _arrange(owner_id, upload)
        except (IntegrityError, Document.DoesNotExist):  # it was begun or deleted at this moment: look again
            continue
    raise Busy()


def keep(document: Document) -> bool:
    """Notes that bytes came, so that they wait for the rest; False where the document is not wanted any more."""
    return _lease(document, "", KEPT_S)


def exists(document: Document) -> bool:
    """Whether a document was not deleted."""
    return Document.objects.filter(pk=document.pk).exists()


def begin_to_settle(document: Document) -> None:
    """Notes that the last bytes came: from now on another process finishes what this one does not."""
    _lease(document, lease.WORKER, settings.MIVA_LEASE_S)


def settle(document: Document, *, may_be_known: bool, engine_keeps: bool) -> Document:
    """Checks a file whose last byte is here and keeps it as an original; returns the document, now to be read.

    Where it `may_be_known` and its owner has the same file already (see `describe_as_before`), it is ready with that.
    Raises BadField where its hash is not the announced one, NotAPdf, NoText, UnsupportedType; nothing is kept then.
    Raises TakenOver where another process was faster or the document was deleted, and OSError.
    """
    part = Part(document.pk)
    with part.held():
        found = _as_announced(document)
        if found is None:
            part.path.unlink()
            raise TakenOver
        if part.size() != found.size:  # it was refused, and begun anew, at this moment
            raise TakenOver
        digest = part.sha256()
        try:
            if found.sha256 not in ("", digest):
                raise BadField("The bytes that came are not those of the announced sha256.", field="sha256")
            media_type = part.media_type(name=found.name, declared=found.media_type)
        except MivaError:
            part.path.unlink()
            raise
        found.sha256, found.content_id, found.media_type = digest, digest, media_type
        with content_held(digest):  # the row first: what rows rely on is not forgotten
            is_known = may_be_known and describe_as_before(found, engine_keeps)
            found.status = (_Status.READY if is_known else _Status.READING).value
            is_wanted = _settled(found)
        if not is_wanted:
            part.path.unlink()
            raise TakenOver
        reader.keep_original(part.path, digest)
    return found


def restore(document: Document) -> None:
    """Keeps the original of a document whose process ended between the two steps of `settle`, where that is so."""
    part = Part(document.pk)
    try:
        with part.held():
            if part.sha256() == document.sha256:
                reader.keep_original(part.path, document.sha256)
            else:
                part.path.unlink()
    except TakenOver:
        return


def abandoned() -> list[Document]:
    """Deletes and returns documents whose missing bytes did not come in time."""
    late = Q(worker="", lease_until__lt=Now()) | Q(lease_until__lt=lease.ends_at(-KEPT_S))
    gone = []
    for document in Document.objects.filter(late, status=_Status.RECEIVING):
        if Document.objects.filter(late, pk=document.pk, status=_Status.RECEIVING).delete()[0]:
            Part(document.pk).remove()
            document.status, document.error = _Status.FAILED, "not_found"
            gone.append(document)
    return gone


def _lease(document: Document, worker: str, seconds: float) -> bool:
    moment, parameters = plain_sql.from_now(seconds)
    statement = f"UPDATE {TABLE} SET worker = %s, lease_until = {moment} WHERE id = %s AND status = %s"  # noqa: S608
    return bool(plain_sql.changed(statement, (worker, *parameters, document.pk, _Status.RECEIVING.value)))


def _as_announced(document: Document) -> Document | None:
    """A document as it was told before its bytes were here; None where it is not being received (any more)."""
    names = ("owner_id", "name", "media_type", "size", "sha256")
    query = f"SELECT {', '.join(names)} FROM {TABLE} WHERE id = %s AND status = %s"  # noqa: S608
    rows = plain_sql.rows(query, (document.pk, _Status.RECEIVING.value))
    if not rows:
        return None
    announced = copy.copy(document)
    for name, value in zip(names, rows[0], strict=True):
        setattr(announced, name, plain_sql.uuid_of(value) if name == "owner_id" else value)
    return announced


def _settled(document: Document) -> bool:
    """Stores what the bytes of a document showed, which are here now: it is ready, or leased to this process to be
    read; False where it is not wanted any more."""
    names = ("sha256", "content_id", "media_type", "status", "pages", "characters", "chunks")
    if document.status == _Status.READY:
        leased, parameters = "worker = '', lease_until = NULL", []
    else:
        moment, of_moment = plain_sql.from_now(settings.MIVA_LEASE_S)
        leased, parameters = f"worker = %s, lease_until = {moment}, attempt = 1", [lease.WORKER, *of_moment]
    statement = (
        f"UPDATE {TABLE} SET {', '.join(f'{name} = %s' for name in names)}, {leased} WHERE id = %s AND status = %s"  # noqa: S608
    )
    values = [getattr(document, name) for name in names]
    return bool(plain_sql.changed(statement, (*values, *parameters, document.pk, _Status.RECEIVING.value)))


def _arrange(owner_id: UUID, upload: Upload) -> tuple[Document, Next]:
    mine = Document.objects.filter(owner_id=owner_id)
    id, name = storable(upload.id), storable(upload.name)
    is_new = not plain_sql.rows(f"SELECT 1 FROM {TABLE} WHERE owner_id = %s AND upload_id = %s", (owner_id, id))  # noqa: S608
    found = None if is_new else mine.filter(upload_id=id).first()
    is_anew = found is not None and found.status == _Status.FAILED and not _is_locked(found)
    if found is not None and not is_anew and not _is_same(found, upload, name):
        mine.filter(pk=found.pk).update(upload_id="")  # another file under an id that was used before
        found = None
    if found is not None and not is_anew:
        return _go_on(mine, found, upload)
    facts = {
        "name": name,
        "media_type": storable(upload.media_type)[:LONGEST_MEDIA_TYPE],
        "size": upload.size,
        "sha256": upload.sha256 or "",
        "status": _Status.RECEIVING,
        "error": "",
        "message": "",
        "worker": "",
        "attempt": 0,
    }
    if found is None:
        make_room(owner_id)
        _make_room_for_bytes(owner_id)
        document = Document(owner_id=owner_id, upload_id=id, **facts)
        plain_sql.insert(document, lease_until=plain_sql.from_now(KEPT_S))
        return document, Next.BEGIN
    mine.filter(pk=found.pk, status=_Status.FAILED).update(**facts, lease_until=lease.ends_at(KEPT_S))
    Part(found.pk).remove()
    return mine.get(pk=found.pk), Next.BEGIN


def _go_on(mine: QuerySet[Document], found: Document, upload: Upload) -> tuple[Document, Next]:
    row = mine.filter(pk=found.pk, status=found.status)
    if found.status == _Status.RECEIVING:
        sha256 = found.sha256 or upload.sha256 or ""
        row.update(worker="", lease_until=lease.ends_at(KEPT_S), sha256=sha256)
        return row.get(), Next.GO_ON
    if found.status == _Status.FAILED and upload.password is not None:
        with content_held(found.sha256):
            row.update(status=_Status.READING, error="", message="", **document_leases.begun_here())
        return mine.get(pk=found.pk), Next.READ
    return found, Next.NOTHING


def _is_locked(document: Document) -> bool:
    """Whether a document failed for want of a password, and its bytes wait for one."""
    return wants_password(document) and reader.is_kept(document.sha256)


def _is_same(document: Document, upload: Upload, name: str) -> bool:
    """Whether an upload is the file that the document is about, as far as can be told before it is here."""
    if (document.name, document.size) != (name, upload.size):
        return False
    return not document.sha256 or upload.sha256 in (None, document.sha256)


def _make_room_for_bytes(owner_id: UUID) -> None:
    query = f"SELECT COUNT(*) FROM {TABLE} WHERE owner_id = %s AND status = %s AND worker = ''"  # noqa: S608
    [(under_way,)] = plain_sql.rows(query, (owner_id, _Status.RECEIVING.value))
    if under_way < MOST_RECEIVING:
        return
    mine = Document.objects.filter(owner_id=owner_id)
    receiving = mine.filter(status=_Status.RECEIVING, worker="")
    idle = receiving.filter(lease_until__lt=lease.ends_at(KEPT_S - IDLE_S)).order_by("lease_until").first()
    if idle is None:
        raise Busy("Too many files are being sent at the same time. Wait for some of them to be here.")
    mine.filter(pk=idle.pk).delete()
    Part(idle.pk).remove()
