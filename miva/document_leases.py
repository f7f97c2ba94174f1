"""Which documents this process reads: taken, renewed while they are read, let go. Blocking functions."""

from __future__ import annotations

import logging
import threading
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from miva import lease
from miva.documents.parts import Part
from miva.models import Document

logger = logging.getLogger("miva.document_leases")

UNREADY = (Document.Status.RECEIVING, Document.Status.READING, Document.Status.INDEXING)
MOST_ATTEMPTS = 3
"""A file during which so many processes ended is not read once more."""


def begun_here() -> dict[str, Any]:
    """The columns of a document that this process begins to read; `hold` it too."""
    return {"worker": lease.WORKER, "lease_until": lease.ends_at(), "attempt": 1}


def hold(document_id: UUID) -> None:
    """Renews the lease of a document from now on, until it is let go or read."""
    _held.add(document_id)


def drop(document_id: UUID) -> None:
    """Ends the renewing: the document is read, or not wanted."""
    _held.discard(document_id)


def drop_unless_read_here(document_id: UUID) -> None:
    """The same for who came too late, where no other task of this process reads the document by now."""
    reading = (Document.Status.READING, Document.Status.INDEXING)
    if not Document.objects.filter(pk=document_id, worker=lease.WORKER, status__in=reading).exists():
        drop(document_id)


def take(document_id: UUID) -> bool:
    """Makes this process the reader of a document; True also where it is already.

    False where another process reads it, or where there is nothing to read (any more).
    """
    if document_id in _held:
        return True
    taken = _stale().filter(pk=document_id).update(**begun_here() | {"attempt": F("attempt") + 1})
    if taken:
        _held.add(document_id)
    return bool(taken)


def take_stale(most: int) -> list[Document]:
    """Takes up to so many documents whose process is gone; of those that were still being received, the whole ones."""
    taken: list[Document] = []
    for document in _stale().order_by("lease_until")[: 4 * most]:
        is_here = document.status != Document.Status.RECEIVING or Part(document.pk).size() == document.size
        if len(taken) < most and is_here and take(document.pk):
            document.attempt += 1
            taken.append(document)
    return taken


def let_go(document_id: UUID) -> None:
    """Lets another process read a document at once."""
    _held.discard(document_id)
    Document.objects.filter(pk=document_id, worker=lease.WORKER, status__in=UNREADY).update(lease_until=Now())


def let_all_go() -> None:
    """The same for everything that is read here."""
    _held.clear()
    Document.objects.filter(worker=lease.WORKER, status__in=UNREADY).update(lease_until=Now())


def _stale() -> QuerySet[Document]:
    """Documents that somebody began to read, or to settle, and that nobody does now."""
    waits_for_bytes = Q(status=Document.Status.RECEIVING, worker="")
    is_over = Q(lease_until=None) | Q(lease_until__lte=Now())
    return Document.objects.filter(~waits_for_bytes, is_over, status__in=UNREADY)


class _Held:
    """The documents of this process, and the thread that renews their leases while there are any.

    A thread, because documents are read from event loops of several kinds (a server's, a view's own), and none of them
    has to be awake for this.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ids: set[UUID] = set()
        self._thread: threading.Thread | None = None

    def __contains__(self, id: UUID) -> bool:
        with self._changed:
            return id in self._ids

    def add(self, id: UUID) -> None:
        with self._changed:
            self._ids.add(id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="document-leases", daemon=True)
                self._thread.start()

    def discard(self, id: UUID) -> None:
        with self._changed:
            self._ids.discard(id)
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._ids.clear()
            self._changed.notify_all()

    def _renew(self) -> None:
        try:
            while ids := self._wait():
                close_old_connections()
                try:
                    mine = Document.objects.filter(pk__in=ids, worker=lease.WORKER, status__in=UNREADY)
                    mine.update(lease_until=lease.ends_at())
                except DatabaseError:
                    logger.warning("The leases of documents could not be renewed", exc_info=True)
        finally:
            connection.close()

    def _wait(self) -> list[UUID]:
        """What is held when the time to renew has come; empty, and the thread's end, where nothing is."""
        with self._changed:
            self._changed.wait_for(lambda: not self._ids, timeout=settings.MIVA_LEASE_S / lease.RENEWALS)
            if not self._ids:
                self._thread = None
            return list(self._ids)


_held = _Held()
