"""Conversations, turns and messages in the database: blocking functions, which sockets call through `in_thread`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import TextField, Value
from django.db.models.functions import Concat, Left
from django.utils import timezone

from miva import plain_sql
from miva.models import Conversation, Document, Message, Turn
from miva.protocol.errors import Forbidden
from miva.protocol.events import BETWEEN_REPLIES, Source

RECENT_MESSAGES = 20
RECENT_CHARACTERS = 20_000
"""How much of a conversation goes to the engine with a new question."""
RECENT_TURNS = 20
"""Questions looked at for the documents that are in use. Each goes on about those of the one before it: only documents
that were deleted make it more than one."""
LONGEST_ANSWER = 2_000_000
"""Characters of one answer that are kept."""
_TITLE = 80
_CONVERSATION, _TURN, _MESSAGE, _DOCUMENT = (model._meta.db_table for model in (Conversation, Turn, Message, Document))
_LINK = Turn.documents.through._meta.db_table


def storable(text: str) -> str:
    """The text without what databases refuse: NUL, and halves of characters that UTF-8 has no form for."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def claim_plain_id(owner_id: UUID, unique_id: str) -> UUID:
    """The conversation of a plain `unique_id`; raises Forbidden where another owner used that id first."""
    unique_id = storable(unique_id)
    for _ in range(2):
        known = Conversation.objects.filter(plain_id=unique_id).values_list("id", "owner_id").first()
        if known is not None:
            if known[1] != owner_id:
                raise Forbidden("This unique_id belongs to somebody else's conversation. Use another.")
            return known[0]
        try:
            with transaction.atomic():
                conversation, _ = Conversation.objects.get_or_create(owner_id=owner_id, label=unique_id)
                conversation.plain_id = unique_id
                conversation.save(update_fields=["plain_id"])
                return conversation.id
        except IntegrityError:  # somebody was first at the same moment: look again
            continue
    raise Forbidden()


def known_conversation(owner_id: UUID, label: str) -> tuple[UUID, str] | None:
    """The owner's conversation of this label, where there is one: its key and its label."""
    name = storable(label)
    found = plain_sql.rows(f"SELECT id FROM {_CONVERSATION} WHERE owner_id = %s AND label = %s", (owner_id, name))  # noqa: S608
    return (plain_sql.uuid_of(found[0][0]), name) if found else None


def conversation_of(owner_id: UUID, label: str | None) -> tuple[UUID, str]:
    """The owner's conversation of this label, made where it is new; without a label a new one. With its label."""
    known = known_conversation(owner_id, label) if label else None
    return known or new_conversation(owner_id, label)


def new_conversation(owner_id: UUID, label: str | None) -> tuple[UUID, str]:
    """The same, where there was none of this label a moment ago."""
    name = storable(label) if label else str(uuid.uuid4())
    try:
        made = Conversation(owner_id=owner_id, label=name)
        plain_sql.insert(made)
        return made.pk, name
    except IntegrityError:
        known = known_conversation(owner_id, name)
        if known is None:
            raise
        return known  # made at this moment


@dataclass(frozen=True, slots=True)
class Recorded:
    """A question and its answer, as they are stored; None where there was no answer."""

    conversation_id: UUID
    question: str
    files: Sequence[str]
    answer: str | None
    sources: Sequence[Source]


def record_exchanges(exchanges: Sequence[Recorded]) -> list[int | None]:
    """Stores questions and their answers; returns the answers' message ids, None where one is not stored."""
    ids: list[int | None] = []
    with transaction.atomic():
        for conversation_id, group in groupby(exchanges, key=lambda exchange: exchange.conversation_id):
            together = list(group)
            if not _touch(conversation_id, together[0].question):
                ids += [None] * len(together)
                continue
            pairs = [_messages(exchange) for exchange in together]
            Message.objects.bulk_create([row for pair in pairs for row in pair if row is not None], batch_size=100)
            ids += [answer.pk if answer is not None else None for _, answer in pairs]
    return ids


def _messages(exchange: Recorded) -> tuple[Message, Message | None]:
    files = [storable(name) for name in exchange.files]
    asked = _message(exchange.conversation_id, Message.Role.USER, exchange.question, files=files)
    if exchange.answer is None:
        return asked, None
    sources = list(exchange.sources)
    return asked, _message(exchange.conversation_id, Message.Role.ASSISTANT, exchange.answer, sources=sources)


def extend_answer(message_id: int, more: str, sources: Sequence[Source], *, replaces: bool) -> None:
    """A stored answer as it is now that more of it came, or that the engine has said what the whole of it is."""
    text = storable(more)[:LONGEST_ANSWER]
    # In the database, so that a long answer is not read and written whole through this process with each piece.
    whole = Value(text) if replaces else Left(Concat("content", Value(text), output_field=TextField()), LONGEST_ANSWER)
    changes: dict[str, Any] = {"content": whole} | ({"sources": list(sources)} if sources else {})
    Message.objects.filter(pk=message_id).update(**changes)


LAST_MESSAGES = (
    f"SELECT role, SUBSTR(content, 1, {RECENT_CHARACTERS + 1}) AS words FROM {_MESSAGE}"  # noqa: S608
    f" WHERE conversation_id = %s ORDER BY id DESC LIMIT {RECENT_MESSAGES}"
)
"""The query for what `as_history` takes; its parameter is the conversation."""
_LAST_TURNS = (
    f"SELECT id, accepted_seq FROM {_TURN} WHERE conversation_id = %s ORDER BY accepted_seq DESC LIMIT {RECENT_TURNS}"  # noqa: S608
)
DOCUMENTS_IN_USE = (
    f"SELECT document_id FROM {_LINK} WHERE turn_id = (SELECT id FROM ({_LAST_TURNS}) t WHERE EXISTS"  # noqa: S608
    f" (SELECT 1 FROM {_LINK} l WHERE l.turn_id = t.id) ORDER BY accepted_seq DESC LIMIT 1) ORDER BY id"
)
"""The query for what a conversation's last question with documents was about, which one without any goes on about; its
parameter is the conversation."""


def recent(conversation_id: UUID) -> list[dict[str, str]]:
    """The last messages of a conversation, oldest first, as `history` of a question to the engine."""
    return as_history(plain_sql.rows(LAST_MESSAGES, (conversation_id,)))


def as_history(newest_first: Iterable[Sequence[str]]) -> list[dict[str, str]]:
    """The roles and words of messages as the engine gets them: oldest first, as many as there is room for.

    A question without an answer is left out: the next one would be taken for its going on.
    """
    messages: list[dict[str, str]] = []
    room = RECENT_CHARACTERS
    newer = ""
    for role, words in newest_first:
        is_unanswered = role == Message.Role.USER and newer != Message.Role.ASSISTANT
        newer = role
        if is_unanswered:
            continue
        room -= len(words)
        if room < 0:
            break
        messages.append({"role": role, "content": words})
    return messages[::-1]


def record_turn(turn_id: UUID, answer: str, sources: Sequence[Source]) -> int:
    """Stores a turn's question and answer, within the caller's transaction; returns the answer's message id."""
    asked = _question(turn_id)
    to = asked.conversation_id
    answered = _message(to, Message.Role.ASSISTANT, answer, sources=list(sources), turn_id=turn_id)
    plain_sql.insert(asked)
    plain_sql.insert(answered)
    return answered.pk


def record_unanswered(turn_id: UUID) -> None:
    """Stores the question of a turn that failed or was cancelled, within the caller's transaction: who asked it finds
    it again, also where the log is gone."""
    plain_sql.insert(_question(turn_id))


def _question(turn_id: UUID) -> Message:
    """The message, not stored yet, that a turn's question becomes; its conversation is marked as just used."""
    query = f"SELECT conversation_id, message, created_at FROM {_TURN} WHERE id = %s"  # noqa: S608
    [(found, question, asked_at)] = plain_sql.rows(query, (turn_id,))
    conversation_id = plain_sql.uuid_of(found)
    _touch(conversation_id, question)
    query = (
        f"SELECT name FROM {_DOCUMENT} d JOIN {_LINK} l ON l.document_id = d.id WHERE l.turn_id = %s"  # noqa: S608
        " ORDER BY d.created_at DESC"
    )
    names = [name for (name,) in plain_sql.rows(query, (turn_id,))]
    asked = _message(conversation_id, Message.Role.USER, question, files=names, turn_id=turn_id)
    asked.created_at = plain_sql.moment_of(asked_at)
    return asked


def add_late(message_id: int, text: str) -> bool:
    """Joins an engine's frame that came after the turn's end to the stored answer; False where that is gone."""
    message = Message.objects.select_for_update().filter(pk=message_id).first()
    if message is None:
        return False
    if len(message.content) + len(text) < LONGEST_ANSWER:
        message.content = f"{message.content}{BETWEEN_REPLIES}{storable(text)}"
        message.save(update_fields=["content"])
    return True


def forget_from(conversation_id: UUID, accepted_seq: int) -> None:
    """Takes the messages of a turn and those after it out of the history; the next first question gives the title."""
    first = Turn.objects.filter(conversation_id=conversation_id, accepted_seq=accepted_seq).first()
    Message.objects.filter(conversation_id=conversation_id, turn__accepted_seq__gte=accepted_seq).delete()
    if first is not None and not Message.objects.filter(conversation_id=conversation_id).exists():
        given = Conversation.objects.filter(pk=conversation_id, title=_title_of(first.message))
        given.update(title="")  # a title that its owner chose stays


def named_sources(
    owner_id: UUID, sources: Iterable[Source], asked_about: Mapping[str, tuple[str, str]] | None = None
) -> list[Source]:
    """Sources as clients see them, with the owner's own document ids in place of the engine's content ids.

    Of several documents with the same content it is the one `asked_about` (id and name by content id), else the oldest.
    """
    kept = list(sources)
    wanted = {storable(source["document"]) for source in kept if isinstance(source.get("document"), str)}
    places = ", ".join(["%s"] * len(wanted))
    query = (
        f"SELECT content_id, id, name FROM {_DOCUMENT} WHERE owner_id = %s AND content_id IN ({places})"  # noqa: S608
        " ORDER BY created_at DESC"
    )
    rows = plain_sql.rows(query, (owner_id, *wanted)) if wanted else []
    own = {content_id: (str(plain_sql.uuid_of(id)), name) for content_id, id, name in rows}
    own |= {id: mine for id, mine in (asked_about or {}).items() if id in own}
    return [_named(source, own) for source in kept]


def _named(source: Source, own: dict[str, tuple[str, str]]) -> Source:
    document, name = own.get(str(source.get("document")), (source.get("document"), source.get("name")))
    page, quote = source.get("page"), source.get("quote")
    # Where an engine tells the quote's place on its page (`start` and `end`, in characters), clients get it too.
    offsets = {end: source[end] for end in ("start", "end") if isinstance(source.get(end), int)}
    return {
        "document": storable(document) if isinstance(document, str) else None,
        "name": storable(name) if isinstance(name, str) else "",
        "page": page if isinstance(page, int) else None,
        "quote": storable(quote) if isinstance(quote, str) else "",
    } | offsets


def _touch(conversation_id: UUID, question: str) -> bool:
    """Marks a conversation as just used, and names it after its first question; False where it is gone."""
    statement = (
        f"UPDATE {_CONVERSATION} SET title = CASE title WHEN '' THEN %s ELSE title END, updated_at = %s WHERE id = %s"  # noqa: S608
    )
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return bool(plain_sql.changed(statement, (_title_of(question), now, conversation_id)))


def _title_of(question: str) -> str:
    return " ".join(storable(question).split())[:_TITLE]


def _message(conversation_id: UUID, role: Message.Role, content: str, **more: Any) -> Message:
    content = storable(content)[:LONGEST_ANSWER]
    return Message(conversation_id=conversation_id, role=role, content=content, **more)
