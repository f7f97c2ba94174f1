"""The query dialect (contract section 3.2): what token clients speak."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from miva.protocol import fields
from miva.protocol.errors import BadField, MivaError
from miva.protocol.events import BETWEEN_REPLIES, Cancelled, Delta, Done, Event, Failed, Reply, Reset, Thinking
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


class Teller:
    """The frames of a socket's events, also where a question had to be asked again in the middle of its answer.

    This dialect cannot take words back. So the second answer is told from where it goes beyond the first; where it is
    another one, its words wait for its end, which tells the whole.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._again: str | None = None
        """The words of the second answer, while they are no more than those of the first."""
        self._has_replied = False
        """Whether the answer has a whole reply in it, from which the next one is set off as in the answer's text."""

    def frames(self, event: Event) -> Iterator[str]:
        """The frames of an event: none for what has no word here, several for a long untyped reply."""
        match event:
            case Thinking() if not self._told:
                yield dump({"type": "thinking"})
            case Delta(text):
                yield from self._stream([text])
            case Reply(text=text, late=False):
                whole = BETWEEN_REPLIES + text if self._has_replied else text
                self._has_replied = True
                yield from self._stream(_WORD.findall(whole) or [whole])
            case Reset():
                self._told, self._again, self._has_replied = ["".join(self._told)], "", False
            case Done(text, sources):
                yield dump({"type": "done", "response": text, "sources": sources})
            case Failed(error):
                yield encode_error(error)
        if isinstance(event, Done | Failed | Cancelled):
            self._told, self._again, self._has_replied = [], None, False

    def _stream(self, pieces: Sequence[str]) -> Iterator[str]:
        if self._again is not None:
            pieces = self._beyond("".join(pieces), self._again)
        for piece in pieces:
            self._told.append(piece)
            yield dump({"type": "stream", "content": piece})

    def _beyond(self, more: str, again: str) -> list[str]:
        """What of the second answer was not told by the first."""
        told = self._told[0]
        if not told.startswith(again):  # another answer
            return []
        self._again = again + more
        if not self._again.startswith(told):
            return []
        beyond, self._again = self._again[len(told) :], None
        return [beyond] if beyond else []


def encode_error(error: MivaError) -> str:
    return dump({"type": "error", "code": error.code, "message": error.message, **error.details()})
