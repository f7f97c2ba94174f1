"""Events as the log keeps them: one JSON object each, read back as the same event."""

from __future__ import annotations

import json
from typing import Any

from miva.protocol.errors import MivaError, error_of
from miva.protocol.events import Accepted, Cancelled, Delta, Done, Event, Failed, Progress, Reply, Reset, Thinking
from miva.protocol.frames import dump as dump_json
from miva.protocol.frames import quoted


def dump(event: Event) -> str:
    """The text of an event; raises TypeError for one that has no place in a conversation's log."""
    if isinstance(event, Delta):  # nearly all that is logged, so it takes no detour over an object
        return f'{{"type":"delta","text":{quoted(event.text)}}}'
    return dump_json(_body(event))


def load(text: str) -> Event:
    """The event of a text that `dump` made; raises ValueError for any other."""
    try:
        data = json.loads(text)
        kind = data.pop("type")
        return _event(kind, data)
    except (AttributeError, KeyError, TypeError) as why:
        raise ValueError("not an event of the log") from why


def _body(event: Event) -> dict[str, Any]:
    match event:
        case Accepted(id, message, documents, position):
            return {"type": "accepted", "id": id, "message": message, "documents": documents, "position": position}
        case Progress(stage, done, total, id, document):
            return {"type": "progress", "stage": stage, "done": done, "total": total, "id": id, "document": document}
        case Thinking():
            return {"type": "thinking"}
        case Reply(frame, text, late):
            return {"type": "reply", "frame": frame, "text": text, "late": late}
        case Done(text, sources, message_id, html):
            return {"type": "done", "text": text, "sources": sources, "message_id": message_id, "html": html}
        case Failed(error, id):
            about = {"message": error.message, "field": error.field, "retry_after": error.retry_after}
            return {"type": "failed", "code": error.code, **about, "id": id}
        case Cancelled():
            return {"type": "cancelled"}
        case Reset(attempt):
            return {"type": "reset", "attempt": attempt}
        case _:
            raise TypeError(f"{type(event).__name__} is not kept in the log")


def _event(kind: str, data: dict[str, Any]) -> Event:
    match kind:
        case "delta":
            return Delta(**data)
        case "accepted":
            return Accepted(**data | {"documents": tuple(data["documents"])})
        case "progress":
            return Progress(**data)
        case "thinking":
            return Thinking(**data)
        case "reply":
            return Reply(**data)
        case "done":
            return Done(**data | {"sources": tuple(data["sources"])})
        case "failed":
            return Failed(_error(data), data["id"])
        case "cancelled":
            return Cancelled(**data)
        case "reset":
            return Reset(**data)
        case _:
            raise KeyError(kind)


def _error(data: dict[str, Any]) -> MivaError:
    return error_of(data["code"])(data["message"], field=data["field"], retry_after=data["retry_after"])
