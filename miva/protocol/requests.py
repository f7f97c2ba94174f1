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
    replaces: str | None = None
    """A turn of the conversation that this question is asked instead of, with all behind it."""
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this turn's answer."""

    turn: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Tell every event of a conversation after this one, and those that are still to come."""

    conversation: str
    after: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Begin a file that comes in pieces, or go on with it; `size` in bytes, `sha256` in small hexadecimal digits."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of the upload that was begun on this socket."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life."""


Request = Ask | Cancel | Resume | Upload | Piece | Ping
