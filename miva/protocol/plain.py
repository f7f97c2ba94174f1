"""The plain dialect (contract section 3.1): what existing pages speak."""

from __future__ import annotations

from typing import Any

from miva.protocol import fields
from miva.protocol.errors import BadField, MivaError
from miva.protocol.frames import dump
from miva.protocol.requests import Ask, Scalar

SUBPROTOCOL = "miva.plain"


def decode(data: dict[str, Any], raw: str, longest_message: int) -> Ask:
    """The question in a frame; `raw` is the frame's text, forwarded as it is where no file is in it."""
    if data.get("type", "chat") != "chat":
        raise BadField("The field “type” must be “chat”.", field="type")
    message = fields.text(data, "message", longest_message)
    files = fields.files(data)
    unique_id = fields.scalar(data, "unique_id")
    for name in data:
        if name != "unique_id" and name.lower() == "unique_id":  # some engines' parsers would take it for the id
            raise BadField("The field “unique_id” is written in small letters.", field=name)
    if not message.strip() and not files:
        raise BadField("The question is empty.", field="message")
    return Ask(message, files, unique_id=unique_id, raw=None if files else raw)


def encode_error(error: MivaError) -> str:
    """The only frame of this dialect that is not the engine's own."""
    return dump({"error": error.message, "code": error.code, **error.details()})


def engine_question(message: str, unique_id: Scalar) -> str:
    """What the engine gets for a question with files: exactly these three members."""
    return dump({"message": message, "type": "chat", "unique_id": unique_id})
