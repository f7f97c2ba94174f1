"""What is asked of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Excerpt:
    """A passage that was found: its document's name, its page (None without pages) and its text."""

    document: str
    page: int | None
    text: str


@dataclass(frozen=True)
class Message:
    """One message said before."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Task:
    """A question with what was found for it, best first, and what was said before it, oldest first.

    `max_tokens` bounds the answer; `model` is one of `Writer.models()` to be tried first, or empty.
    """

    question: str
    excerpts: Sequence[Excerpt]
    history: Sequence[Message] = ()
    temperature: float = 0.2
    max_tokens: int = 400
    model: str = ""


@dataclass(frozen=True)
class Prompt:
    """What a model is sent: messages as chat completion has them, and the bounds of its answer."""

    messages: list[dict[str, str]]
    temperature: float
    max_tokens: int


@dataclass
class Ending:
    """Filled in by a model when its stream has ended; `cut` where the bound on tokens and not the model ended it."""

    cut: bool = False
