"""The rows of the event log as they are written: conversations locked, fences checked, events numbered and inserted.

Blocking functions, for `log_writer`. They run for every event, so they are plain SQL, few statements however many
events there are: Django's ORM costs several times what the database does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from miva import plain_sql
from miva.models import Conversation, LogEvent, Turn
from miva.protocol import stored
from miva.protocol.events import Event

_CONVERSATION, _LOG, _TURN = (model._meta.db_table for model in (Conversation, LogEvent, Turn))
_COLUMNS = "conversation_id, seq, turn_id, attempt, body, created_at"
_RENEWED_AFTER = 0.2
"""Part of a lease that is over when it is renewed: not with every event, as that is the dearer statement."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be logged; its number comes with the commit."""

    turn_id: UUID
    attempt: int
    event: Event


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that is in the log, and where it stands there."""

    conversation_id: UUID
    label: str
    turn_id: UUID
    attempt: int
    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Row:
    """A stored event, and the text under which it is stored."""

    stored: Stored
    body: str


@dataclass(frozen=True, slots=True)
class Fence:
    """What a process shows to write for a running turn: its name, and the attempt that it makes."""

    turn_id: UUID
    worker: str
    attempt: int


class FencedOff(Exception):
    """The turn is not this process's any more: another has taken it, or it is over."""


Work = Callable[[int], Sequence[Entry]]
"""What is to be done in one commit with a conversation's row locked: gets the conversation's head, so that its first
entry becomes head + 1, changes rows and returns the entries. It may be called again where a commit failed. What it
raises undoes this work alone and reaches its caller alone; it may catch errors of the database within a
`transaction.atomic()` of its own. It leaves the conversation's `head` to the log."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """A work that writes events of a running turn and renews its lease, or raises FencedOff and has changed nothing."""

    fence: Fence
    events: Sequence[Event]
    lease_s: float

    def __call__(self, _: int) -> Sequence[Entry]:
        if self.fence not in held([self]):
            raise FencedOff
        return self.entries()

    def entries(self) -> list[Entry]:
        """The events, where the fence is known to be held."""
        return [Entry(self.fence.turn_id, self.fence.attempt, event) for event in self.events]


def lock(ids: Sequence[UUID]) -> dict[UUID, tuple[str, int]]:
    """Locks conversations to the transaction's end, those that nobody else has locked; their labels and heads."""
    connection = connections["default"]
    query = f"SELECT id, label, head FROM {_CONVERSATION} WHERE id IN ({_marks(ids)}) ORDER BY id"  # noqa: S608
    if connection.vendor == "postgresql":  # on SQLite the transaction holds the only lock there is
        query += " FOR NO KEY UPDATE SKIP LOCKED"
    by_key = _by_key(connection, ids)
    return {by_key[key]: (label, head) for key, label, head in plain_sql.rows(query, list(by_key))}


def held(works: Sequence[Fenced]) -> set[Fence]:
    """Which of these fences are held, while their conversations are locked; renews the leases behind them.

    Whose a running turn is changes only with its conversation locked, so that nothing can come between.
    """
    connection = connections["default"]
    fences = {work.fence.turn_id: work.fence for work in works}
    lease_s = max(work.lease_s for work in works)
    due, until = plain_sql.from_now((1 - _RENEWED_AFTER) * lease_s), plain_sql.from_now(lease_s)
    query = (
        f"SELECT id, worker, attempt, COALESCE(lease_until < {due[0]}, TRUE) FROM {_TURN}"  # noqa: S608
        f" WHERE id IN ({_marks(fences)}) AND state = %s"
    )
    by_key = _by_key(connection, fences)
    rows = plain_sql.rows(query, [*due[1], *by_key, Turn.State.RUNNING.value])
    found = [(key, Fence(by_key[key], worker, attempt), is_due) for key, worker, attempt, is_due in rows]
    true = {work.fence for work in works} & {fence for _, fence, _ in found}
    overdue = [key for key, fence, is_due in found if is_due and fence in true]
    if overdue:
        query = f"UPDATE {_TURN} SET lease_until = {until[0]} WHERE id IN ({_marks(overdue)})"  # noqa: S608
        plain_sql.changed(query, [*until[1], *overdue])
    return true


def number(conversation_id: UUID, label: str, head: int, entries: Iterable[Entry]) -> list[Row]:
    """The entries with the numbers after `head`; raises TypeError for an event that is not kept in the log."""
    return [
        Row(Stored(conversation_id, label, entry.turn_id, entry.attempt, seq, entry.event), stored.dump(entry.event))
        for seq, entry in enumerate(entries, head + 1)
    ]


def insert(rows: Sequence[Row], now: datetime) -> None:
    """Writes rows of conversations that are locked."""
    if not rows:
        return
    connection = connections["default"]
    if connection.vendor == "postgresql":
        plain_sql.changed(*_insertion(rows, now))
    else:
        created_at = connection.ops.adapt_datetimefield_value(now)
        query = f"INSERT INTO {_LOG} ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)"  # noqa: S608
        plain_sql.change_each(query, [(*value, created_at) for value in _values(rows)])


def _insertion(rows: Sequence[Row], now: datetime) -> tuple[str, list[datetime | str]]:
    """PostgreSQL's statement for it, whose text is the same for any number of rows."""
    of_json = "(r->>0)::uuid, (r->>1)::bigint, (r->>2)::uuid, (r->>3)::smallint, r->>4, %s"
    query = f"INSERT INTO {_LOG} ({_COLUMNS}) SELECT {of_json} FROM json_array_elements(%s::json) AS r"  # noqa: S608
    return query, [now, json.dumps(_values(rows), ensure_ascii=False)]


def _values(rows: Sequence[Row]) -> list[tuple[str, int, str, int, str]]:
    return [
        (at.conversation_id.hex, at.seq, at.turn_id.hex, at.attempt, row.body) for row in rows for at in (row.stored,)
    ]


def finish(rows: Sequence[Row], now: datetime, heads: dict[UUID, int]) -> None:
    """Writes the last rows of a commit, and the heads of its conversations: one statement where that saves a way."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        insert(rows, now)
        if heads:
            values = [(head, id.hex) for id, head in heads.items()]
            plain_sql.change_each(f"UPDATE {_CONVERSATION} SET head = %s WHERE id = %s", values)  # noqa: S608
        return
    if not (rows or heads):
        return
    statement, parameters = _insertion(rows, now) if rows else ("SELECT", [])
    if heads:
        update = (
            f"UPDATE {_CONVERSATION} AS c SET head = (r->>0)::bigint"  # noqa: S608
            " FROM json_array_elements(%s::json) AS r WHERE c.id = (r->>1)::uuid"
        )
        statement = f"WITH moved AS ({update}) {statement}"
        parameters = [json.dumps([(head, id.hex) for id, head in heads.items()]), *parameters]
    plain_sql.changed(statement, parameters)


def existing(ids: Sequence[UUID]) -> set[UUID]:
    """Those of the conversations that are there, locked or not."""
    return set(Conversation.objects.filter(pk__in=ids).values_list("id", flat=True))


def is_written(row: Row, now: datetime) -> bool:
    """Whether this very row, written at this very moment, is in the log."""
    at = row.stored
    there = LogEvent.objects.filter(conversation_id=at.conversation_id, seq=at.seq, turn_id=at.turn_id)
    return there.filter(created_at=now, body=row.body).exists()


def _by_key(connection: BaseDatabaseWrapper, ids: Iterable[UUID]) -> dict[UUID | str, UUID]:
    """Ids by what the database stores of them."""
    is_native = connection.features.has_native_uuid_field
    return {id if is_native else id.hex: id for id in ids}


def _marks(values: Iterable[object]) -> str:
    return ",".join("%s" for _ in values)
