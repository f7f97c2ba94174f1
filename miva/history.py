"""Conversations, turns and messages in the database: blocking functions, which sockets call through `in_thread`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from miva.models import Conversation, Document, Message, Turn
from miva.protocol.errors import Forbidden, NotFound
from miva.protocol.events import Source

RECENT_MESSAGES = 20
RECENT_CHARACTERS = 20_000
"""How much of a conversation goes to the engine with a new question."""
LONGEST_ANSWER = 2_000_000
"""Characters of one answer that are kept."""
_TITLE = 80


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


def conversation_of(owner_id: UUID, label: str | None) -> Conversation:
    """The owner's conversation of this label, made where it is new; without a label a new one."""
    name = storable(label) if label else str(uuid.uuid4())
    conversation, _ = Conversation.objects.get_or_create(owner_id=owner_id, label=name)
    return conversation


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, as they are stored."""

    conversation_id: UUID
    question: str
    files: Sequence[str]
    answer: str
    sources: Sequence[Source]


def record_exchanges(exchanges: Sequence[Exchange]) -> list[int | None]:
    """Stores questions and their answers; returns the answers' message ids, None where a conversation is gone."""
    ids: list[int | None] = []
    with transaction.atomic():
        for conversation_id, group in groupby(exchanges, key=lambda exchange: exchange.conversation_id):
            together = list(group)
            if not _touch(conversation_id, together[0].question):
                ids += [None] * len(together)
                continue
            rows = [
                row
                for exchange in together
                for row in (
                    _message(
                        conversation_id,
                        Message.Role.USER,
                        exchange.question,
                        files=[storable(name) for name in exchange.files],
                    ),
                    _message(conversation_id, Message.Role.ASSISTANT, exchange.answer, sources=list(exchange.sources)),
                )
            ]
            ids += [row.pk for row in Message.objects.bulk_create(rows, batch_size=100)[1::2]]
    return ids


def extend_answer(message_id: int, more: str, sources: Sequence[Source], *, replaces: bool) -> None:
    """A stored answer as it is now that more of it came, or that the engine has said what the whole of it is."""
    with transaction.atomic():
        message = Message.objects.select_for_update().filter(pk=message_id).first()
        if message is not None:
            message.content = (("" if replaces else message.content) + storable(more))[:LONGEST_ANSWER]
            message.sources = list(sources) or message.sources
            message.save(update_fields=["content", "sources"])


def recent(conversation_id: UUID) -> list[dict[str, str]]:
    """The last messages of a conversation, oldest first, as `history` of a question to the engine."""
    rows = Message.objects.filter(conversation_id=conversation_id).order_by("-id")
    messages: list[dict[str, str]] = []
    room = RECENT_CHARACTERS
    for role, content in rows.values_list("role", "content")[:RECENT_MESSAGES]:
        room -= len(content)
        if room < 0:
            break
        messages.append({"role": role, "content": content})
    return messages[::-1]


def find_turn(owner_id: UUID, client_id: str) -> Turn | None:
    """The turn that this owner's client began under an id of its own."""
    turns = Turn.objects.select_related("conversation").prefetch_related("documents")
    return turns.filter(owner_id=owner_id, client_id=storable(client_id)).first()


def owner_of_turn(turn_id: UUID) -> UUID | None:
    """Whose turn this is now (a guest's moves to the account it signs in to); None where there is no such turn."""
    return Turn.objects.filter(pk=turn_id).values_list("owner_id", flat=True).first()


def open_turn(
    conversation: Conversation,
    client_id: str,
    message: str,
    documents: Sequence[UUID],
    next_seq: Callable[[int], int],
) -> tuple[Turn, bool]:
    """Stores a question as a waiting turn; returns it, and False where the same `client_id` had asked before.

    `next_seq` gets the conversation's stored head and gives the number of the turn's `accepted`.
    """
    try:
        with transaction.atomic():
            stored = Conversation.objects.select_for_update().values_list("head", flat=True).get(pk=conversation.pk)
            turn = Turn.objects.create(
                owner_id=conversation.owner_id,
                conversation=conversation,
                client_id=storable(client_id),
                message=storable(message),
            )
            turn.accepted_seq = next_seq(stored)  # only now, so that an id that was asked before costs no number
            turn.save(update_fields=["accepted_seq"])
            Conversation.objects.filter(pk=conversation.pk).update(head=turn.accepted_seq)
            turn.documents.set(Document.objects.filter(owner_id=conversation.owner_id, pk__in=documents))
            return turn, True
    except (IntegrityError, Conversation.DoesNotExist):
        turn_before = find_turn(conversation.owner_id, client_id)
        if turn_before is None:
            raise NotFound("A document or the conversation was deleted at this moment. Please ask again.") from None
        return turn_before, False


def documents_in_use(owner_id: UUID, label: str) -> list[Document]:
    """What a conversation's last question with documents was about, which a question without any goes on about."""
    turns = Turn.objects.filter(owner_id=owner_id, conversation__label=storable(label), documents__isnull=False)
    last = turns.order_by("-accepted_seq").first()
    return list(last.documents.filter(status=Document.Status.READY)) if last else []


def set_state(turn_id: UUID, state: Turn.State) -> None:
    Turn.objects.filter(pk=turn_id).update(state=state)


def close_turn(
    turn: Turn, state: Turn.State, head: int, answer: str = "", sources: Sequence[Source] = ()
) -> int | None:
    """Ends a turn: stores a done one's messages, and the conversation's `head`; returns the answer's message id."""
    with transaction.atomic():
        if not Turn.objects.filter(pk=turn.pk).update(state=state):
            return None
        Conversation.objects.filter(pk=turn.conversation_id, head__lt=head).update(head=head)
        if state != Turn.State.DONE:
            return None
        _touch(turn.conversation_id, turn.message)
        names = [document.name for document in turn.documents.all()]
        _say(turn.conversation_id, Message.Role.USER, turn.message, files=names, turn=turn)
        return _say(turn.conversation_id, Message.Role.ASSISTANT, answer, sources=list(sources), turn=turn).pk


def add_late_reply(message_id: int, text: str, conversation_id: UUID, head: int) -> None:
    """An engine's frame that came after the turn's end joins the stored answer."""
    with transaction.atomic():
        Conversation.objects.filter(pk=conversation_id, head__lt=head).update(head=head)
        message = Message.objects.select_for_update().filter(pk=message_id).first()
        if message is not None and len(message.content) + len(text) < LONGEST_ANSWER:
            message.content = f"{message.content}\n\n{storable(text)}"
            message.save(update_fields=["content"])


def named_sources(owner_id: UUID, sources: Iterable[Source]) -> list[Source]:
    """Sources as clients see them, with the owner's own document ids in place of the engine's content ids."""
    kept = list(sources)
    wanted = {storable(source["document"]) for source in kept if isinstance(source.get("document"), str)}
    rows = Document.objects.filter(owner_id=owner_id, content_id__in=wanted)
    own = {content_id: (str(id), name) for content_id, id, name in rows.values_list("content_id", "id", "name")}
    return [_named(source, own) for source in kept]


def _named(source: Source, own: dict[str, tuple[str, str]]) -> Source:
    document, name = own.get(str(source.get("document")), (source.get("document"), source.get("name")))
    page, quote = source.get("page"), source.get("quote")
    return {
        "document": storable(document) if isinstance(document, str) else None,
        "name": storable(name) if isinstance(name, str) else "",
        "page": page if isinstance(page, int) else None,
        "quote": storable(quote) if isinstance(quote, str) else "",
    }


def _touch(conversation_id: UUID, question: str) -> bool:
    """Marks a conversation as just used, and names it after its first question; False where it is gone."""
    conversation = Conversation.objects.filter(pk=conversation_id).first()
    if conversation is None:
        return False
    if not conversation.title:
        conversation.title = " ".join(storable(question).split())[:_TITLE]
    conversation.save(update_fields=["title", "updated_at"])
    return True


def _say(conversation_id: UUID, role: Message.Role, content: str, **more: Any) -> Message:
    message = _message(conversation_id, role, content, **more)
    message.save()
    return message


def _message(conversation_id: UUID, role: Message.Role, content: str, **more: Any) -> Message:
    content = storable(content)[:LONGEST_ANSWER]
    return Message(conversation_id=conversation_id, role=role, content=content, **more)
