"""The query dialect (contract section 3.2): what token clients speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from miva.protocol import fields
from miva.protocol.errors import BadField, MivaError
from miva.protocol.events import Delta, Done, Event, Failed, Reply, Thinking
from miva.protocol.frames import dump
from miva.protocol.requests import Ask

_WORD = re.compile(r"\s*\S+\s*")


def decode(data: dict[str, Any], longest_message: int) -> Ask:
    """The question in a frame."""
    query = fields.text(data, "query", longest_message)
    if not query.strip():
        raise BadField("The question is empty.", field="query")
    return Ask(query)


def welcome(name: str) -> str:
    """The first frame of a socket that came with a token in its address."""
    return dump({"type": "welcome", "message": f'Welcome, {name}. Ask with {{"query": "…"}}.'})


def encode(event: Event) -> Iterator[str]:
    """The frames of an event: none for what this dialect has no word for, several for a long untyped reply."""
    match event:
        case Thinking():
            yield dump({"type": "thinking"})
        case Delta(text):
            yield dump({"type": "stream", "content": text})
        case Reply(text=text, late=False):
            for word in _WORD.findall(text) or [text]:
                yield dump({"type": "stream", "content": word})
        case Done(text, sources):
            yield dump({"type": "done", "response": text, "sources": sources})
        case Failed(error):
            yield encode_error(error)
        case _:
            return


def encode_error(error: MivaError) -> str:
    return dump({"type": "error", "code": error.code, "message": error.message, **error.details()})
