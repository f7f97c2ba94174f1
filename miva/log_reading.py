"""What is read of the event log, and what is thrown away of it when it is old. Blocking functions, for `eventlog`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Min, Q

from miva import plain_sql, stopping
from miva.log_rows import Stored
from miva.models import Conversation, LogEvent, Turn
from miva.protocol import stored
from miva.protocol.errors import NotFound
from miva.protocol.events import Gap

_UNFINISHED = (Turn.State.WAITING, Turn.State.RUNNING)
PAGE_CHARACTERS = 128 * 1024
"""Of events read at once."""
FIRST_ROWS = 4
_AT_ONCE = 1000
"""Ids in one statement."""
_PRUNED_AT_ONCE = 2000
"""Rows deleted in one transaction: others wait for it on SQLite."""


def since(conversation_id: UUID, after: int, most: int) -> list[Stored] | Gap:
    """The events behind a number, in order: up to `most`, and no more than a page's characters unless one alone has.

    Gap where some of them are not kept, or never were. Raises NotFound where the conversation is gone.
    """
    query = f"SELECT label, head FROM {Conversation._meta.db_table} WHERE id = %s"  # noqa: S608
    known = plain_sql.rows(query, (conversation_id,))
    if not known:
        raise NotFound("There is no such conversation.")
    [(label, head)] = known
    if after == head:
        return []
    if after > head:
        return Gap(_before_unfinished(conversation_id, head))
    found = [
        Stored(conversation_id, label, UUID(str(turn_id)), attempt, seq, stored.load(body))
        for seq, turn_id, attempt, body in _page(conversation_id, after, most)
    ]
    if found and found[0].seq == after + 1:
        return found
    first = LogEvent.objects.filter(conversation_id=conversation_id).aggregate(first=Min("seq"))["first"]
    return Gap(head if first is None else first - 1)


def _page(conversation_id: UUID, after: int, most: int) -> list[tuple[int, UUID | str, int, str]]:
    """The rows of a page, at least one: a few first, then as many as fit if they are like those."""
    query = (
        f"SELECT seq, turn_id, attempt, body FROM {LogEvent._meta.db_table}"  # noqa: S608
        " WHERE conversation_id = %s AND seq > %s ORDER BY seq LIMIT %s"
    )
    page: list[tuple[int, UUID | str, int, str]] = []
    size, wanted = 0, min(FIRST_ROWS, most)
    while wanted > 0:
        rows = plain_sql.rows(query, (conversation_id, page[-1][0] if page else after, wanted))
        for row in rows:
            page.append(row)
            size += len(row[3])
            if size >= PAGE_CHARACTERS:
                return page
        if len(rows) < wanted:
            break
        wanted = min(most - len(page), max(1, (PAGE_CHARACTERS - size) * len(page) // size))
    return page


def _before_unfinished(conversation_id: UUID, head: int) -> int:
    """The number before all events of the turns that are not over; the head where there is none."""
    unfinished = Turn.objects.filter(conversation_id=conversation_id, state__in=_UNFINISHED)
    first: int | None = unfinished.aggregate(first=Min("accepted_seq"))["first"]
    return head if first is None else max(0, first - 1)


def heads(ids: Iterable[UUID]) -> dict[UUID, int]:
    """The highest number of each conversation that is there."""
    wanted = list(ids)
    found: dict[UUID, int] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        some = Conversation.objects.filter(pk__in=wanted[at : at + _AT_ONCE])
        found.update(some.values_list("id", "head"))
    return found


def prune(older_than: datetime) -> int:
    """Deletes events that are older; returns how many.

    From the beginning of a conversation's log only, so that what is kept has no holes, and whole turns only: those
    that are unfinished, or have an event that is younger, are kept. Ends early where the process is about to end.
    """
    deleted, done_to = 0, 0
    while True:
        # Ids grow with time, so the oldest events are the first: no index by time is needed.
        rows = LogEvent.objects.filter(id__gt=done_to).order_by("id").values_list("id", "conversation_id", "created_at")
        page = list(rows[:_PRUNED_AT_ONCE])
        old = {conversation_id for _, conversation_id, created_at in page if created_at < older_than}
        if not old or stopping.has_begun():
            return deleted
        done_to = page[-1][0]
        for conversation_id in old:
            deleted += _prune(conversation_id, older_than)


def _prune(conversation_id: UUID, older_than: datetime) -> int:
    log = LogEvent.objects.filter(conversation_id=conversation_id)
    unfinished = Turn.objects.filter(conversation_id=conversation_id, state__in=_UNFINISHED)
    young = log.filter(created_at__gte=older_than)
    whole = log.filter(Q(turn__in=unfinished.values("pk")) | Q(turn__in=young.values("turn_id")))
    ends = log.aggregate(first=Min("seq"), last=Max("seq"))
    kept = whole.aggregate(first=Min("seq"))["first"]
    at, end = ends["first"] or 0, kept or (ends["last"] or 0) + 1
    deleted = 0
    while at < end and not stopping.has_begun():
        at = min(at + _PRUNED_AT_ONCE, end)
        deleted += log.filter(seq__lt=at).delete()[0]
    return deleted
