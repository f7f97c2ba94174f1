"""The miva.v1 dialect (contract section 3.3): what the project's own page speaks."""

from __future__ import annotations

from typing import Any

from miva.protocol import fields
from miva.protocol.errors import BadField, MivaError, UnsupportedType
from miva.protocol.events import (
    Accepted,
    Cancelled,
    Delta,
    DocumentChanged,
    Done,
    Event,
    Failed,
    Hello,
    Place,
    Pong,
    Progress,
    Reply,
    Thinking,
)
from miva.protocol.frames import dump
from miva.protocol.requests import Ask, Cancel, Ping, Request

SUBPROTOCOL = "miva.v1"
MOST_DOCUMENTS = 100
"""Documents one question may name."""


def decode(data: dict[str, Any], longest_message: int) -> Request:
    """The request in a frame; raises BadField for a type that is none."""
    match data.get("type"):
        case "ask":
            return _ask(data, longest_message)
        case "cancel":
            return Cancel(fields.label(data, "turn"))
        case "ping":
            return Ping()
        case "upload" | "resume" as kind:
            raise UnsupportedType(f"“{kind}” is not spoken by this version. Send files with POST /api/document/.")
        case _:
            raise BadField("The field “type” must be ask, cancel or ping.", field="type")


def _ask(data: dict[str, Any], longest_message: int) -> Ask:
    message = fields.text(data, "message", longest_message)
    files = fields.files(data)
    documents = fields.names(data, "documents", MOST_DOCUMENTS)
    if not message.strip() and not files and not documents:
        raise BadField("The question is empty.", field="message")
    conversation = None if data.get("conversation") is None else fields.label(data, "conversation")
    if data.get("replaces") is not None:
        raise UnsupportedType("“replaces” is not spoken by this version. Ask as a new question.")
    return Ask(message, files, documents, id=fields.label(data, "id"), conversation=conversation)


def encode(event: Event, place: Place | None = None) -> str | None:
    """The frame of an event; `place` for the events of a conversation. None for what has no frame of its own."""
    body = _body(event)
    if body is None:
        return None
    if place is not None:
        kind = body.pop("type")
        body = {
            "type": kind,
            "conversation": place.conversation,
            "turn": place.turn,
            "seq": place.seq,
            **body,
        }
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
        case Failed(error, id):
            return _error(error) | ({"id": id} if id else {})
        case Pong():
            return {"type": "pong"}
        case _:
            return None


def _error(error: MivaError) -> dict[str, Any]:
    return {"type": "error", "code": error.code, "message": error.message, **error.details()}
