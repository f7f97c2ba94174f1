"""What an owner's open sockets hear of a document: its state, and how far the work on it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from miva import document_rows
from miva.hub import hub, owner_topic
from miva.models import Document

StageProgress = Callable[[str, int, int], None]
"""Called with a stage (extract, index), steps done and steps in all, from any thread."""
PROGRESS_S = 0.2
"""Pages are told of at most this often, but the first and the last always."""


def tell(document: Document, upload_id: str | None) -> None:
    """Tells the state of a document; `upload_id` is the client's name for the file, where it has one."""
    news = {"kind": "document", "id": upload_id or str(document.pk), "document": document_rows.described(document)}
    hub.tell_from_anywhere(owner_topic(document.owner_id), news)


def progress_of(document: Document, upload_id: str | None) -> StageProgress:
    """Tells how far the work on a document is, from any thread and not too often."""
    topic, about = owner_topic(document.owner_id), {"id": upload_id, "document": str(document.pk)}

    def on_progress(stage: str, done: int, total: int) -> None:
        hub.tell_from_anywhere(topic, {"kind": "progress", "stage": stage, "done": done, "total": total, **about})

    return sparse(on_progress)


def sparse(on_progress: StageProgress) -> StageProgress:
    """The same, but told once for each step, and at most every PROGRESS_S seconds but for a stage's first and last."""
    told_at, told = 0.0, ("", 0)

    def seldom(stage: str, done: int, total: int) -> None:
        nonlocal told_at, told
        now = time.monotonic()
        if (stage, done) != told and (done <= 1 or done >= total or now - told_at >= PROGRESS_S):
            told_at, told = now, (stage, done)
            on_progress(stage, done, total)

    return seldom
