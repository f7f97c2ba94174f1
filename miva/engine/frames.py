"""What may be said to the engine: frames of JSON text taken apart and checked, or refused with a sentence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from miva.engine.stores.base import Bookmark

SUBPROTOCOL = "miva.engine.v1"
MAX_ID = 256
MAX_NAME = 1024
MAX_PAGES = 100_000
MAX_DOCUMENTS = 1000
MAX_LENGTH = 8192
MAX_OUTLINE = 1000
LENGTHS = {"short": 150, "medium": 400, "long": 1200}
"""The lengths of an answer that have a name, in tokens."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class FrameError(Exception):
    """A frame that cannot be understood; the text is a sentence for the sender."""


@dataclass(frozen=True)
class Options:
    """What a question asks of the language model: "" and None leave it to the engine; `length` is in tokens."""

    model: str = ""
    temperature: float | None = None
    length: int | None = None


@dataclass(frozen=True)
class Question:
    """A question; `unique_id` is any JSON value and goes back as it came; `key` tells conversations apart."""

    message: str
    unique_id: Any
    key: str
    stream: bool
    documents: tuple[str, ...]
    names: dict[str, str]
    history: tuple[tuple[str, str], ...]
    options: Options


@dataclass(frozen=True)
class Cancel:
    """Stop the questions of the conversation `key`."""

    key: str


@dataclass(frozen=True)
class DocumentBegin:
    """A document of `pages` pages follows; `owner` says whose name for it this is."""

    id: str
    name: str
    pages: int
    owner: str


@dataclass(frozen=True)
class Page:
    """The text of page `page`, counted from 1."""

    id: str
    page: int
    text: str


@dataclass(frozen=True)
class DocumentEnd:
    """Every page has been sent; `outline` are the document's bookmarks."""

    id: str
    outline: tuple[Bookmark, ...] = ()


@dataclass(frozen=True)
class Forget:
    """Delete the document."""

    id: str


Frame = Question | Cancel | DocumentBegin | Page | DocumentEnd | Forget


def parse(raw: str | bytes, *, keeps_documents: bool) -> Frame:
    """The frame in `raw`; document frames only where `keeps_documents` (the subprotocol). Raises `FrameError`."""
    if isinstance(raw, bytes):
        raise FrameError("A frame must be JSON text; this one is binary.")
    frame = _load(raw)
    kind = frame.get("type", "chat")
    if kind == "chat":
        return _question(frame, keeps_documents)
    if kind == "cancel":
        return Cancel(_key(frame))
    if keeps_documents and isinstance(kind, str) and kind in _DOCUMENT_FRAMES:
        return _DOCUMENT_FRAMES[kind](frame)
    raise FrameError("This type of frame is not known here; a question has the type 'chat'.")


def _load(raw: str) -> dict[str, Any]:
    try:
        frame = json.loads(raw, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise FrameError("The frame is nested too deeply.") from None
    except ValueError:
        raise FrameError("The frame is not JSON, or holds a number too large to read.") from None
    if not isinstance(frame, dict):
        raise FrameError("A frame must be a JSON object.")
    if _SURROGATE.search(raw):
        _mend_page(frame)
        try:
            json.dumps(frame, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise FrameError("The frame holds half a character (a lone surrogate).") from None
        except RecursionError:
            raise FrameError("The frame is nested too deeply.") from None
    return frame


def _mend_page(frame: dict[str, Any]) -> None:
    # Text out of a PDF can hold halves of characters; one of them must not cost the document.
    if frame.get("type") == "page" and isinstance(frame.get("text"), str):
        frame["text"] = frame["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _no_constant(_name: str) -> float:
    raise ValueError("not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _question(frame: dict[str, Any], keeps_documents: bool) -> Question:
    message = frame.get("message")
    if not isinstance(message, str):
        raise FrameError("A question needs 'message', a string.")
    stream = frame.get("stream") or False
    if not isinstance(stream, bool):
        raise FrameError("'stream' must be true or false.")
    documents: tuple[str, ...] = ()
    names: dict[str, str] = {}
    if keeps_documents:
        documents = _documents(frame.get("documents") or [])
        given = frame.get("names") or {}
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given.values()):
            raise FrameError("'names' must be an object of strings.")
        names = given
    history, options = _history(frame.get("history") or []), _options(frame.get("options") or {})
    return Question(message, frame.get("unique_id"), _key(frame), stream, documents, names, history, options)


def _options(given: Any) -> Options:
    if not isinstance(given, dict):
        raise FrameError("'options' must be an object.")
    model, temperature, length = given.get("model") or "", given.get("temperature"), given.get("length")
    if not isinstance(model, str) or len(model) > MAX_NAME:
        raise FrameError(f"The option 'model' must be a string of at most {MAX_NAME} characters.")
    if temperature is not None and not (_is_number(temperature) and 0 <= temperature <= 2):
        raise FrameError("The option 'temperature' must be a number from 0 to 2.")
    if isinstance(length, str):
        length = LENGTHS.get(length, length)
    if length is not None and not (isinstance(length, int) and _is_number(length) and 1 <= length <= MAX_LENGTH):
        words = ", ".join(LENGTHS)
        raise FrameError(f"The option 'length' must be {words}, or a number of tokens from 1 to {MAX_LENGTH}.")
    return Options(model, temperature, length)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _documents(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > MAX_DOCUMENTS:
        raise FrameError(f"'documents' must be a list of at most {MAX_DOCUMENTS} ids.")
    return tuple(dict.fromkeys(_id({"id": document}) for document in given))


def _history(given: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, list):
        raise FrameError("'history' must be a list.")
    turns = []
    for turn in given:
        if (
            not isinstance(turn, dict)
            or not isinstance(turn.get("role"), str)
            or not isinstance(turn.get("content"), str)
        ):
            raise FrameError("Each entry of 'history' needs 'role' and 'content', both strings.")
        turns.append((turn["role"], turn["content"]))
    return tuple(turns)


def _key(frame: dict[str, Any]) -> str:
    try:
        return json.dumps(frame.get("unique_id"), sort_keys=True)
    except RecursionError:
        raise FrameError("The frame is nested too deeply.") from None


def _id(frame: dict[str, Any]) -> str:
    found = frame.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= MAX_ID:
        raise FrameError(f"A document's id must be a string of 1 to {MAX_ID} characters.")
    return found


def _integer(frame: dict[str, Any], field: str, lowest: int) -> int:
    number = frame.get(field)
    if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= MAX_PAGES:
        raise FrameError(f"'{field}' must be a whole number from {lowest} to {MAX_PAGES}.")
    return number


def _begin(frame: dict[str, Any]) -> DocumentBegin:
    name, owner = frame.get("name"), frame.get("owner")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise FrameError(f"A document's name must be a string of at most {MAX_NAME} characters.")
    if owner is not None and not isinstance(owner, str | int):
        raise FrameError("'owner' must be a string.")
    return DocumentBegin(_id(frame), name, _integer(frame, "pages", 0), "" if owner is None else str(owner))


def _page(frame: dict[str, Any]) -> Page:
    text = frame.get("text")
    if not isinstance(text, str):
        raise FrameError("A page needs 'text', a string.")
    return Page(_id(frame), _integer(frame, "page", 1), text)


def _end(frame: dict[str, Any]) -> DocumentEnd:
    outline = frame.get("outline") or []
    if not isinstance(outline, list) or len(outline) > MAX_OUTLINE or not all(isinstance(m, dict) for m in outline):
        raise FrameError(f"'outline' must be a list of at most {MAX_OUTLINE} objects.")
    return DocumentEnd(_id(frame), tuple(map(_bookmark, outline)))


def _bookmark(given: dict[str, Any]) -> Bookmark:
    title = given.get("title")
    if not isinstance(title, str) or not 1 <= len(title) <= MAX_NAME:
        raise FrameError(f"A bookmark's title must be a string of 1 to {MAX_NAME} characters.")
    return Bookmark(_integer(given, "level", 0), title, _integer(given, "page", 1))


_DOCUMENT_FRAMES: dict[str, Callable[[dict[str, Any]], Frame]] = {
    "document": _begin,
    "page": _page,
    "document_end": _end,
    "forget": lambda frame: Forget(_id(frame)),
}
