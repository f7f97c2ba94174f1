"""An owner's conversations as a reader finds them: by label or id, with the messages that are stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Min, OuterRef, Q, QuerySet, Subquery

from miva.history import storable
from miva.models import Conversation, Message, Turn
from miva.protocol.errors import NotFound
from miva.rendering import to_html

_UNFINISHED = (Turn.State.WAITING, Turn.State.RUNNING)


def labelled(owner_id: UUID, label: str) -> Conversation:
    """The owner's conversation of this label; raises NotFound."""
    found = Conversation.objects.filter(owner_id=owner_id, label=storable(label)).first()
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


def find(owner_id: UUID, name: str) -> Conversation:
    """The owner's conversation of this label, else of this id; raises NotFound."""
    try:
        return labelled(owner_id, name)
    except NotFound:
        try:
            return Conversation.objects.get(owner_id=owner_id, pk=UUID(name))
        except (ValueError, Conversation.DoesNotExist):
            raise NotFound("There is no such conversation.") from None


def described(conversation: Conversation) -> dict[str, Any]:
    """The object that clients see of a conversation (contract section 6)."""
    return {
        "id": str(conversation.pk),
        "unique_id": conversation.label,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
    }


def with_messages(conversation: Conversation) -> dict[str, Any]:
    """A conversation with its messages, and the `head` behind which a reader goes on.

    Every turn whose messages are here was accepted at or before `head`, and every other turn behind it, so that going
    on from there shows a running turn from its beginning. Where it was accepted while the one before still ran, that
    one's last events stand behind `head` too: they are known by a `turn` that is here.
    """
    head = _head(conversation.pk)
    messages = Message.objects.filter(conversation=conversation).select_related("turn").order_by("id")
    settled = messages.filter(Q(turn=None) | Q(turn__accepted_seq__lte=head))
    return described(conversation) | {"head": head, "messages": [_described(message) for message in _as_asked(settled)]}


def _as_asked(messages: Iterable[Message]) -> list[Message]:
    """Messages in the order in which their questions came: one that was stopped while it waited was over, and stored,
    before those that it waited for. Those of the plain dialect, which has no turns, keep their places."""
    stored = list(messages)
    of_turns = [(message.turn.accepted_seq, message.pk, message) for message in stored if message.turn is not None]
    in_order = iter([message for _, _, message in sorted(of_turns, key=lambda at: at[:2])])
    return [message if message.turn is None else next(in_order) for message in stored]


def has_turn(conversation_id: UUID, turn_id: str) -> bool:
    """Whether a turn is one of this conversation."""
    try:
        return Turn.objects.filter(pk=UUID(turn_id), conversation_id=conversation_id).exists()
    except ValueError:
        return False


def _head(conversation_id: UUID) -> int:
    """The number behind which no finished turn begins; one query, so that it is of one moment."""
    unfinished: QuerySet[Turn] = Turn.objects.filter(conversation=OuterRef("pk"), state__in=_UNFINISHED)
    first = unfinished.order_by().values("conversation").annotate(first=Min("accepted_seq")).values("first")
    found = Conversation.objects.filter(pk=conversation_id).values_list("head", Subquery(first)).first()
    if found is None:
        raise NotFound("There is no such conversation.")
    head, first_unfinished = found
    return int(head if first_unfinished is None else first_unfinished - 1)


def _described(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": message.pk,
        "role": message.role,
        "content": message.content,
        "created_at": message.created_at,
        "sources": message.sources,
        "turn": str(message.turn_id) if message.turn_id else None,
    }
    if message.role == Message.Role.ASSISTANT:
        return shown | {"html": to_html(message.content, message.sources)}
    # `state`: done, failed or cancelled; a question with one of the last two has no answer behind it.
    return shown | {"files": message.files, "state": message.turn.state if message.turn is not None else None}
