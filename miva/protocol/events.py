"""What happens to a question, whatever dialect tells it. An event from the engine keeps the engine's own frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from miva.protocol.errors import MivaError

BETWEEN_REPLIES = "\n\n"
"""What stands between the whole replies of one answer in its text."""
Source = dict[str, Any]
"""{document, name, page, quote}: where in which document an answer stands."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The question is stored; `position` 0 runs, 1 … waits."""

    id: str
    message: str
    documents: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Long work: `done` of `total` steps of a stage (upload, extract, ocr, index, engine)."""

    stage: str
    done: int
    total: int
    id: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentChanged:
    """A document of the owner came, changed its state or failed; `id` is the client's for the file."""

    id: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Thinking:
    """The engine has the question."""


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole untyped frame of the engine; `late` after the turn's end."""

    frame: str
    text: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answer stands, told before its end."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is whole. `message_id` and `html` are filled in once it is stored."""

    text: str
    sources: tuple[Source, ...] = ()
    message_id: int | None = None
    html: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn, or with an `id` or nothing a single frame, failed."""

    error: MivaError
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The turn was stopped by its owner."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The question was asked again, for the `attempt`-th time: the turn's text so far is thrown away."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The events asked for are not kept; `head` + 1 is the oldest that is, and reading goes on from `head`."""

    head: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The server's greeting to a miva.v1 client."""

    user: dict[str, Any]
    limits: dict[str, Any]
    engine: dict[str, Any]
    server: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: conversation label, turn and number within the conversation.

    Without a turn: what is said about the conversation as a whole.
    """

    conversation: str
    turn: str = ""
    seq: int = 0


Event = (
    Accepted
    | Progress
    | DocumentChanged
    | Thinking
    | Delta
    | Reply
    | Sources
    | Done
    | Failed
    | Cancelled
    | Reset
    | Gap
    | Hello
    | Pong
)
