"""What the hub says of new events: to this process the events themselves, to others their text while it is short."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from miva.hub import News, Telling
from miva.log_rows import Row, Stored
from miva.protocol import stored

MOST_CARRIED = 32 * 1024
"""Characters of events in one message between processes; of more it says only how far they go."""


def topic(conversation_id: UUID) -> str:
    """Where the hub tells the new events of a conversation. All of its news carry `head`, the highest number."""
    return f"log:{conversation_id}"


def told(news: News) -> list[Stored] | None:
    """The events in a piece of news, in order; None where it carries only `head`. They are not to be changed."""
    if "log" not in news and "events" in news:
        conversation_id, label = UUID(news["conversation"]), news["label"]
        news["log"] = [  # kept for the other listeners of this process
            Stored(conversation_id, label, UUID(turn), attempt, seq, stored.load(body))
            for seq, turn, attempt, body in news["events"]
        ]
    return news.get("log")


def telling(rows: Sequence[Row]) -> Telling:
    """How a commit's events of one conversation are told."""
    last = rows[-1].stored
    here = {"head": last.seq, "log": [row.stored for row in rows]}
    return Telling(topic(last.conversation_id), here, lambda: _wire(rows), _join)


def _wire(rows: Sequence[Row]) -> News:
    last = rows[-1].stored
    size = sum(len(row.body) for row in rows)
    if size > MOST_CARRIED:
        return {"head": last.seq}
    events = [[row.stored.seq, row.stored.turn_id.hex, row.stored.attempt, row.body] for row in rows]
    about = {"conversation": last.conversation_id.hex, "label": last.label}
    return {"head": last.seq, "size": size, "events": events, **about}


def _join(older: News, newer: News) -> News:
    size = older.get("size", MOST_CARRIED) + newer.get("size", MOST_CARRIED)
    if size > MOST_CARRIED:
        return {"head": newer["head"]}
    return newer | {"size": size, "events": older["events"] + newer["events"]}
