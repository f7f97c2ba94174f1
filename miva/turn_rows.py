"""The rows of turns: whose they are, who runs them, which wait and which nobody runs. Blocking functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from miva import document_rows, history, lease, plain_sql
from miva.eventlog import Entry, Fence
from miva.models import Conversation, Document, LogEvent, Turn
from miva.protocol import stored
from miva.protocol.errors import NotFound
from miva.protocol.events import Accepted, Event

LINK: Any = Turn.documents.through
"""The rows that say what a turn is about: `turn_id`, `document_id`, in their order."""
UNFINISHED = (Turn.State.WAITING, Turn.State.RUNNING)
_TURN, _CONVERSATION, _LINK = (model._meta.db_table for model in (Turn, Conversation, LINK))
_DELETED = "This conversation was deleted."
_IS_UNFINISHED = "state IN ('waiting', 'running')"


@dataclass(frozen=True, slots=True)
class Claim:
    """A turn that this process has taken: what it needs to run it, and to show at the fence that it is its own."""

    turn_id: UUID
    conversation_id: UUID
    attempt: int
    message: str
    options: dict[str, Any] | None
    """None for a client that chose nothing and sees no numbers (query, HTTP)."""

    @property
    def fence(self) -> Fence:
        return Fence(self.turn_id, lease.WORKER, self.attempt)

    @property
    def is_numbered(self) -> bool:
        """Whether its client sees the numbers of the log's events, and can take words back that were told it."""
        return self.options is not None

    def entries(self, events: Sequence[Event]) -> list[Entry]:
        return [Entry(self.turn_id, self.attempt, event) for event in events]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A turn that nobody seems to run, as it was seen."""

    turn_id: UUID
    conversation_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that is stored; `seq` is the number of its `accepted`, `is_new` False where it was asked before."""

    conversation_id: UUID
    label: str
    turn_id: UUID
    seq: int
    accepted: Accepted
    is_new: bool


def abandoned() -> QuerySet[Turn]:
    """The turns that nobody runs, oldest first."""
    before = Turn.objects.filter(
        conversation_id=OuterRef("conversation_id"), state__in=UNFINISHED, accepted_seq__lt=OuterRef("accepted_seq")
    )
    is_overdue = Q(state=Turn.State.RUNNING) & (Q(lease_until__lt=Now()) | Q(lease_until=None))
    is_first = Q(state=Turn.State.WAITING) & ~Exists(before)
    return Turn.objects.filter(is_overdue | is_first, state__in=UNFINISHED).order_by("created_at")


def find_abandoned(most: int) -> list[Abandoned]:
    """Up to so many turns that nobody runs."""
    return [Abandoned(*row) for row in abandoned().values_list("id", "conversation_id", "attempt")[:most]]


def renew(claims: Sequence[Claim]) -> dict[UUID, bool]:
    """Renews the leases of turns that run here: those that are still ours, and whether they are to be cancelled."""
    ids = [claim.turn_id for claim in claims]
    ours = Turn.objects.filter(pk__in=ids, worker=lease.WORKER, state=Turn.State.RUNNING)
    ours.update(lease_until=lease.ends_at())
    return dict(ours.values_list("id", "cancel_asked"))


def hand_over(turn_ids: Sequence[UUID] | None) -> int:
    """Lets go of these turns that run here, or of all, so that another process takes them at once; returns how many."""
    ours = Turn.objects.filter(worker=lease.WORKER, state=Turn.State.RUNNING)
    if turn_ids is not None:
        ours = ours.filter(pk__in=turn_ids)
    return ours.update(worker="", lease_until=Now())


def asked_before(owner_id: UUID, client_id: str) -> Asked | None:
    """The turn that this owner's client began under an id of its own."""
    if not plain_sql.rows(f"SELECT 1 FROM {_TURN} WHERE owner_id = %s AND client_id = %s", (owner_id, client_id)):  # noqa: S608
        return None
    turns = Turn.objects.select_related("conversation").prefetch_related("documents")
    turn = turns.filter(owner_id=owner_id, client_id=client_id).first()
    if turn is None:
        return None
    waits = turn.state == Turn.State.WAITING
    position = unfinished(turn.conversation_id).filter(accepted_seq__lt=turn.accepted_seq).count() if waits else 0
    accepted = Accepted(turn.client_id, turn.message, tuple(str(row.pk) for row in turn.documents.all()), position)
    return Asked(turn.conversation_id, turn.conversation.label, turn.pk, turn.accepted_seq, accepted, is_new=False)


def find(owner_id: UUID, turn_id: str, label: str | None = None) -> tuple[UUID, UUID]:
    """A turn's key and that of its conversation (the one of this label); raises NotFound where there is none."""
    mine = Turn.objects.filter(owner_id=owner_id)
    if label is not None:
        mine = mine.filter(conversation__label=label)
    try:
        found = mine.filter(pk=UUID(turn_id)).values_list("id", "conversation_id").first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such turn.")
    return found


def owner_of(turn_id: UUID) -> UUID:
    """Whose turn this is now (a guest's moves to the account it signs in to); raises NotFound where it is gone."""
    found = plain_sql.rows(f"SELECT owner_id FROM {_TURN} WHERE id = %s", (turn_id,))  # noqa: S608
    if not found:
        raise NotFound(_DELETED)
    return plain_sql.uuid_of(found[0][0])


def asker_and_documents(turn_id: UUID) -> tuple[UUID, list[Document]]:
    """Whose a turn is now, and what it is about in the order in which that was named. Raises NotFound."""
    query = (
        f"SELECT t.owner_id, l.document_id FROM {_TURN} t LEFT JOIN {_LINK} l ON l.turn_id = t.id"  # noqa: S608
        " WHERE t.id = %s ORDER BY l.id"
    )
    rows = plain_sql.rows(query, (turn_id,))
    if not rows:
        raise NotFound(_DELETED)
    ids = [plain_sql.uuid_of(id) for _, id in rows if id is not None]
    found = document_rows.by_key(ids)
    return plain_sql.uuid_of(rows[0][0]), [found[id] for id in ids if id in found]


def was_about_documents(turn_id: UUID) -> bool:
    """Whether a turn was about documents when it was accepted, which may be deleted by now."""
    query = (
        f"SELECT l.body FROM {_TURN} t JOIN {LogEvent._meta.db_table} l"  # noqa: S608
        " ON l.conversation_id = t.conversation_id AND l.seq = t.accepted_seq AND l.turn_id = t.id WHERE t.id = %s"
    )
    accepted = [stored.load(body) for (body,) in plain_sql.rows(query, (turn_id,))]
    return any(isinstance(event, Accepted) and event.documents for event in accepted)


def asked_about_before(turn_id: UUID) -> set[UUID]:
    """The documents of a turn that an earlier question of its conversation was about too; none of one that is gone."""
    turn = Turn.objects.filter(pk=turn_id).first()
    if turn is None:
        return set()
    earlier = Turn.objects.filter(conversation_id=turn.conversation_id, accepted_seq__lt=turn.accepted_seq)
    links = LINK.objects.filter(document_id__in=LINK.objects.filter(turn=turn).values("document_id"))
    return set(links.filter(turn__in=earlier).values_list("document_id", flat=True))


def note_chunks(turn_id: UUID, content_id: str, chunks: int) -> None:
    """Keeps how many chunks the engine made of a document that it took with a question of its owner's."""
    about = LINK.objects.filter(turn_id=turn_id).values("document_id")
    Document.objects.filter(pk__in=about, content_id=content_id, status=Document.Status.READY).update(chunks=chunks)


def unfinished(conversation_id: UUID) -> QuerySet[Turn]:
    """The turns of a conversation that have no end yet, in their order."""
    return Turn.objects.filter(conversation_id=conversation_id, state__in=UNFINISHED).order_by("accepted_seq")


def held(claim: Claim) -> QuerySet[Turn]:
    """The row of a turn that runs here; empty once somebody else has it, or it is over."""
    ours = Turn.objects.filter(pk=claim.turn_id, worker=lease.WORKER, attempt=claim.attempt)
    return ours.filter(state=Turn.State.RUNNING)


def end(claim: Claim, state: Turn.State) -> bool:
    """Gives a turn that runs here its last state; False where it does not run here any more."""
    statement = f"UPDATE {_TURN} SET state = %s WHERE id = %s AND worker = %s AND attempt = %s AND state = 'running'"  # noqa: S608
    return bool(plain_sql.changed(statement, (state.value, claim.turn_id, lease.WORKER, claim.attempt)))


@dataclass(frozen=True, slots=True)
class Before:
    """What a conversation is like when a question comes."""

    owner_id: UUID
    is_known: bool
    """Whether its owner's client has used the question's id before."""
    unfinished: int
    """Turns that have no end yet."""
    in_use: list[UUID]
    """The documents that its last question with any was about."""
    recent: list[dict[str, str]]
    """Its last messages, as the engine gets them."""


def before_accepting(conversation_id: UUID, client_id: str) -> Before:
    """What the conversation is like, in one look: to be called with it locked."""
    in_use = plain_sql.as_list(["document_id"], history.DOCUMENTS_IN_USE)
    messages = plain_sql.as_list(["role", "words"], history.LAST_MESSAGES)
    query = (
        f"SELECT owner_id, EXISTS (SELECT 1 FROM {_TURN} t WHERE t.owner_id = c.owner_id AND t.client_id = %s),"  # noqa: S608
        f" (SELECT COUNT(*) FROM {_TURN} u WHERE u.conversation_id = c.id AND u.{_IS_UNFINISHED}),"
        f" {in_use}, {messages} FROM {_CONVERSATION} c WHERE id = %s"
    )
    id = conversation_id
    [(owner_id, is_known, unfinished, ids, newest_first)] = plain_sql.rows(query, (client_id, id, id, id))
    return Before(
        plain_sql.uuid_of(owner_id),
        bool(is_known),
        unfinished,
        [UUID(id) for id in plain_sql.listed(ids)],
        history.as_history(plain_sql.listed(newest_first)),
    )


def insert(
    owner_id: UUID,
    conversation_id: UUID,
    accepted_seq: int,
    client_id: str,
    message: str,
    options: dict[str, Any] | None,
    *,
    is_ours: bool,
) -> UUID:
    """Stores a new turn and returns its key: one that this process has taken where `is_ours`, else one that waits.

    Raises IntegrityError where the owner's client has used the id already.
    """
    id = uuid4()
    until, of_until = plain_sql.from_now(settings.MIVA_LEASE_S) if is_ours else ("NULL", [])
    values = ", ".join(["%s"] * 11)
    statement = (
        f"INSERT INTO {_TURN} (id, owner_id, conversation_id, accepted_seq, client_id, message, options, state,"  # noqa: S608
        f" attempt, worker, created_at, cancel_asked, lease_until) VALUES ({values}, FALSE, {until})"
    )
    state = Turn.State.RUNNING if is_ours else Turn.State.WAITING
    of_process = (state.value, 1, lease.WORKER) if is_ours else (state.value, 0, "")
    chosen = None if options is None else json.dumps(options)
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    plain_sql.changed(
        statement,
        (id, owner_id, conversation_id, accepted_seq, client_id, message, chosen, *of_process, now, *of_until),
    )
    return id


def link(turn_id: UUID, document_ids: Sequence[UUID]) -> None:
    """Says what a new turn is about, in this order."""
    statement = f"INSERT INTO {_LINK} (turn_id, document_id) VALUES (%s, %s)"  # noqa: S608
    plain_sql.change_each(statement, [(turn_id, document_id) for document_id in document_ids])


def as_taken(attempt: int) -> dict[str, Any]:
    """The columns of a turn that this process has taken."""
    running = Turn.State.RUNNING
    return {"state": running, "worker": lease.WORKER, "attempt": attempt, "lease_until": lease.ends_at()}


def take(turn: Turn) -> Claim:
    """Makes a turn this process's; to be called with its conversation locked and nothing of it running."""
    attempt = turn.attempt + 1
    Turn.objects.filter(pk=turn.pk).update(**as_taken(attempt))
    return Claim(turn.pk, turn.conversation_id, attempt, turn.message, turn.options)


def take_next(conversation_id: UUID) -> Claim | None:
    """Takes the turn that waits behind one that has just ended, if any, within the same transaction."""
    query = f"SELECT 1 FROM {_TURN} WHERE conversation_id = %s AND {_IS_UNFINISHED} LIMIT 1"  # noqa: S608
    if not plain_sql.rows(query, (conversation_id,)):
        return None
    turn = unfinished(conversation_id).first()
    return take(turn) if turn is not None and turn.state == Turn.State.WAITING else None
