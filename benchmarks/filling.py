"""A database as it is after a day of many people's chats: `python -m benchmarks.filling CONVERSATIONS`.

The product's settings are in the environment. All conversations are the public guest's. Their turns are spread over the
last 24 hours and written in the order of time, so that a conversation's events lie far apart between those of others,
as they do in life. Prints the conversations' labels as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from miva.models import Conversation, LogEvent, Turn

DAY = timedelta(hours=24)
TURNS, EVENTS = 6, 100
"""Turns of a conversation, and events of each of them: accepted, thinking, pieces of the answer, done."""
PIECES = EVENTS - 3
PIECE = "a few words of the answer, "
QUESTION = "What is it about?"
AT_ONCE = 10
"""Turns that run at once."""
_BATCH = 5_000


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")
    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from miva.models import Conversation, LogEvent, Owner

    count = int(sys.argv[1])
    owner, _ = Owner.objects.get_or_create(kind=Owner.Kind.PUBLIC)
    conversations = [
        Conversation(owner=owner, label=f"conversation {number}", head=TURNS * EVENTS) for number in range(count)
    ]
    Conversation.objects.bulk_create(conversations, batch_size=_BATCH)
    with transaction.atomic():
        batch: list[LogEvent] = []
        for row in _rows(conversations, timezone.now()):
            batch.append(row)
            if len(batch) == _BATCH:
                LogEvent.objects.bulk_create(batch)
                batch = []
        LogEvent.objects.bulk_create(batch)
    print(json.dumps([conversation.label for conversation in conversations]))


def _rows(conversations: list[Conversation], now: datetime) -> Iterator[LogEvent]:
    """The log's rows in the order of time; their turns, with the messages, are stored on the way.

    The first turn of each conversation is a day old, the others came at any time since. A few turns run at once, so
    that their events alternate.
    """
    from miva.models import LogEvent

    chance = random.Random(1)
    starts = sorted(
        (0.0 if number == 0 else chance.uniform(0, DAY.total_seconds() - 60), index)
        for index in range(len(conversations))
        for number in range(TURNS)
    )
    begun = [0] * len(conversations)
    for first in range(0, len(starts), AT_ONCE):
        runs = []
        for after_s, index in starts[first : first + AT_ONCE]:
            runs.append(_turn(conversations[index], begun[index], now - DAY + timedelta(seconds=after_s)))
            begun[index] += 1
        _store(runs)
        for step in range(EVENTS):
            for turn, bodies in runs:
                seq = turn.accepted_seq + step
                about = {"conversation_id": turn.conversation_id, "turn_id": turn.pk, "created_at": turn.created_at}
                yield LogEvent(seq=seq, attempt=1, body=bodies[step], **about)


def _turn(conversation: Conversation, number: int, at: datetime) -> tuple[Turn, list[str]]:
    """A finished turn, and its events as they are stored."""
    from miva.models import Turn
    from miva.protocol import stored
    from miva.protocol.events import Accepted, Delta, Done, Event, Thinking

    client_id = f"{conversation.label}, question {number}"
    turn = Turn(
        owner_id=conversation.owner_id,
        conversation=conversation,
        client_id=client_id,
        accepted_seq=number * EVENTS + 1,
        message=QUESTION,
        options={},
        state=Turn.State.DONE,
        attempt=1,
        created_at=at,
    )
    answer = PIECE * PIECES
    pieces = [Delta(PIECE)] * PIECES
    end = Done(answer, html=f"<p>{answer}</p>")
    events: list[Event] = [Accepted(client_id, QUESTION, (), 0), Thinking(), *pieces, end]
    return turn, [stored.dump(event) for event in events]


def _store(runs: list[tuple[Turn, list[str]]]) -> None:
    from miva.models import Message, Turn

    Turn.objects.bulk_create([turn for turn, _ in runs])
    Message.objects.bulk_create(
        Message(conversation_id=turn.conversation_id, turn=turn, role=role, content=content)
        for turn, _ in runs
        for role, content in ((Message.Role.USER, QUESTION), (Message.Role.ASSISTANT, PIECE * PIECES))
    )


if __name__ == "__main__":
    main()
