"""The miva.v1 dialect (contract section 3.3): what the project's own page speaks."""

from __future__ import annotations

import re
from typing import Any

from miva.protocol import fields
from miva.protocol.errors import BadField, MivaError
from miva.protocol.events import (
    Accepted,
    Cancelled,
    Delta,
    DocumentChanged,
    Done,
    Event,
    Failed,
    Gap,
    Hello,
    Place,
    Pong,
    Progress,
    Reply,
    Reset,
    Thinking,
)
from miva.protocol.frames import dump, quoted
from miva.protocol.requests import Ask, Cancel, Ping, Request, Resume, Upload

SUBPROTOCOL = "miva.v1"
MOST_DOCUMENTS = 100
"""Documents one question may name."""
LONGEST_PASSWORD = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def decode(data: dict[str, Any], longest_message: int) -> Request:
    """The request in a frame; raises BadField, with the frame's own id where it has one, so that its sender knows it
    again."""
    try:
        return _request(data, longest_message)
    except BadField as why:
        why.refused_id = fields.label_or_none(data, "id")
        raise


def _request(data: dict[str, Any], longest_message: int) -> Request:
    match data.get("type"):
        case "ask":
            return _ask(data, longest_message)
        case "upload":
            return _upload(data)
        case "resume":
            conversation, after = fields.label(data, "conversation"), fields.whole(data, "after", 0)
            return Resume(conversation, after, fields.optional(data, "id"))
        case "cancel":
            return Cancel(fields.label(data, "turn"))
        case "ping":
            return Ping()
        case _:
            raise BadField("The field “type” must be ask, upload, resume, cancel or ping.", field="type")


def _ask(data: dict[str, Any], longest_message: int) -> Ask:
    message = fields.text(data, "message", longest_message)
    files = fields.files(data)
    documents = fields.names(data, "documents", MOST_DOCUMENTS)
    if not message.strip() and not files and not documents:
        raise BadField("The question is empty.", field="message")
    conversation = None if data.get("conversation") is None else fields.label(data, "conversation")
    replaces = None if data.get("replaces") is None else fields.label(data, "replaces")
    id = fields.label(data, "id")
    return Ask(message, files, documents, id=id, conversation=conversation, replaces=replaces)


def _upload(data: dict[str, Any]) -> Upload:
    sha256 = fields.optional(data, "sha256")
    if sha256 is not None and not _SHA256.fullmatch(sha256 := sha256.lower()):
        raise BadField("The field “sha256” must be 64 hexadecimal digits.", field="sha256")
    return Upload(
        fields.label(data, "id"),
        fields.short(data, "name"),
        fields.optional(data, "media_type") or "",
        fields.whole(data, "size", 0),
        sha256,
        fields.optional(data, "password", LONGEST_PASSWORD) or None,
    )


def encode(event: Event, place: Place | None = None) -> str | None:
    """The frame of an event; `place` for the events of a conversation. None for what has no frame of its own."""
    if isinstance(event, Delta) and place is not None:  # nearly all that is told, so it takes no detour over an object
        where = f'"conversation":{quoted(place.conversation)},"turn":{quoted(place.turn)},"seq":{place.seq}'
        return f'{{"type":"delta",{where},"text":{quoted(event.text)}}}'
    body = _body(event)
    if body is None:
        return None
    if place is not None:
        of_turn = {"turn": place.turn, "seq": place.seq} if place.turn else {}
        body = {"type": body.pop("type"), "conversation": place.conversation, **of_turn, **body}
    return dump(body)


def _body(event: Event) -> dict[str, Any] | None:
    match event:
        case Hello(user, limits, engine, server):
            return {"type": "hello", "user": user, "limits": limits, "engine": engine, "server": server}
        case Accepted(id, message, documents, position):
            return {"type": "accepted", "id": id, "message": message, "documents": documents, "position": position}
        case Progress(stage, done, total, id, document):
            optional = {"id": id, "document": document}
            present = {name: value for name, value in optional.items() if value is not None}
            return {"type": "progress", "stage": stage, "done": done, "total": total, **present}
        case DocumentChanged(id, document):
            return {"type": "document", "id": id, "document": document}
        case Thinking():
            return {"type": "thinking"}
        case Delta(text):
            return {"type": "delta", "text": text}
        case Reply(frame, late=late):
            return {"type": "reply", "frame": frame} | ({"late": True} if late else {})
        case Done(text, sources, message_id, html):
            return {"type": "done", "message_id": message_id, "text": text, "html": html, "sources": sources}
        case Cancelled():
            return {"type": "cancelled"}
        case Reset(attempt):
            return {"type": "reset", "attempt": attempt}
        case Gap(head):
            return {"type": "gap", "head": head}
        case Failed(error, id):
            return _error(error) | ({"id": id} if id else {})
        case Pong():
            return {"type": "pong"}
        case _:
            return None


def _error(error: MivaError) -> dict[str, Any]:
    return {"type": "error", "code": error.code, "message": error.message, **error.details()}
