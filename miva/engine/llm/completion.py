"""What an OpenAI-compatible endpoint answers, read as it comes: server-sent events, or one JSON object. Pure.

The forms are those of the chat completions API: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from miva.engine.text import one_line

MAX_LINE = 1 << 20
"""Bytes of one line, and of an answer that is one JSON object."""
_LONGEST_REASON = 200
_OPENS, _CLOSES = "<think>", "</think>"
_FIELDS = (b"event:", b"id:", b"retry:", b":")


class Garbage(Exception):
    """This is no answer; the text says what it is instead."""


class Refusal(Exception):
    """The endpoint says that it will not answer; the text is its own reason."""


class Reader:
    """Takes the bytes of an answer and gives its text.

    `ended` once the endpoint has said that the answer is whole; `cut` where it says that the bound on tokens ended it;
    `signs` counts what showed that the model works, be it words or thoughts that are not shown.
    """

    def __init__(self) -> None:
        self.ended = False
        self.cut = False
        self.signs = 0
        self._held = b""
        self._is_json: bool | None = None
        self._thoughts = _Thoughts()

    def feed(self, data: bytes) -> Iterator[str]:
        """The text in these bytes. Raises `Garbage` and `Refusal`."""
        held = self._held + data
        if self._is_json is None and held.lstrip():
            self._is_json = held.lstrip()[:1] == b"{"
        if self._is_json:
            lines, self._held = [], held
        else:
            *lines, self._held = held.replace(b"\r\n", b"\n").split(b"\n")
        if len(self._held) > MAX_LINE:
            raise Garbage("a line without an end")
        for line in lines:
            yield from self._line(line)

    def close(self) -> Iterator[str]:
        """The text that was held back, when no more bytes come. Raises `Garbage` and `Refusal`."""
        held, self._held = self._held, b""
        if self._is_json:
            yield from self._object(_parsed(held))
        elif held.strip():
            yield from self._line(held)
        if rest := self._thoughts.close():
            yield rest

    def _line(self, line: bytes) -> Iterator[str]:
        line = line.strip()
        if not line or line.startswith(_FIELDS) or self.ended:
            return
        if not line.startswith(b"data:"):
            raise Garbage("neither events nor JSON")
        data = line[5:].strip()
        if data == b"[DONE]":
            self.ended = True
        elif data:
            yield from self._object(_parsed(data))

    def _object(self, values: dict[str, Any]) -> Iterator[str]:
        if error := values.get("error"):
            raise Refusal(reason(error))
        choices = values.get("choices")
        if not choices and not self._is_json:
            return  # a count of tokens, or a sign of life
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict | None):
            raise Garbage("JSON that is no answer")
        message = message or {}
        if any(message.get(name) for name in ("content", "reasoning_content", "reasoning", "thinking")):
            self.signs += 1
        text = message.get("content") or ""
        if isinstance(text, list):  # Mistral's way to send thoughts and words beside each other
            text = "".join(_words(part) for part in text)
        if not isinstance(text, str):
            raise Garbage("JSON that is no answer")
        if text := self._thoughts.feed(text):
            yield text
        if choice.get("finish_reason") or self._is_json:
            self.ended = True
            self.cut = choice.get("finish_reason") == "length"


class _Thoughts:
    """Takes out what a reasoning model thinks aloud at the head of its answer."""

    def __init__(self) -> None:
        self._held: str | None = ""  # None once the answer itself has begun
        self._thinks = False

    def feed(self, text: str) -> str:
        if self._held is None:
            return text
        self._held += text
        if not self._thinks:
            head = self._held.lstrip()
            if head.startswith(_OPENS):
                self._thinks = True
            elif not _OPENS.startswith(head):
                self._held = None
                return head
        if self._thinks:
            _, closed, rest = self._held.partition(_CLOSES)
            if closed:
                self._held, self._thinks = "", False
                return self.feed(rest)
            self._held = self._held[-len(_CLOSES) :]
        return ""

    def close(self) -> str:
        held, self._held = self._held, None
        return "" if self._thinks else held or ""


def _words(part: object) -> str:
    """The text of one part of a content that is a list; "" of a thought. Raises `Garbage`."""
    text = part.get("text", "") if isinstance(part, dict) else part
    if not isinstance(text, str):
        raise Garbage("JSON that is no answer")
    return text


def reason(error: object) -> str:
    """An endpoint's own words about an error, short and on one line; "" where it has none."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or error.get("detail") or ""
        return reason(error) if isinstance(error, dict) else reason(str(error))
    return one_line(error)[:_LONGEST_REASON] if isinstance(error, str) else ""


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise Garbage("something that is no JSON") from None
    if not isinstance(values, dict):
        raise Garbage("JSON that is no answer")
    return values
