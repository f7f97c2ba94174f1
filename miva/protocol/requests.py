"""What a client may ask for, whatever dialect it speaks."""

from __future__ import annotations

from dataclasses import dataclass

Scalar = str | int | float | None
"""A `unique_id` as it may stand in a plain frame."""


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file inside a frame: `content` is base64 as it stood there."""

    name: str
    media_type: str
    content: str
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. `raw` is the client's own frame where it may be forwarded unchanged."""

    message: str
    files: tuple[InlineFile, ...] = ()
    documents: tuple[str, ...] = ()
    unique_id: Scalar = None
    id: str = ""
    conversation: str | None = None
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this turn's answer."""

    turn: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life."""


Request = Ask | Cancel | Ping
