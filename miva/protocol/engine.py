"""What relay and engine say to each other (contract section 4): questions and documents out, events in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed does not know it
from typing import Any

from miva.protocol.errors import EngineError
from miva.protocol.events import Delta, Done, Event, Failed, Progress, Reply, Source, Sources, Thinking
from miva.protocol.frames import dump

SUBPROTOCOL = "miva.engine.v1"
OURS = "miva"
"""How the embedded engine calls itself in its hello. It alone is told what an asker calls the documents (`names`): they
are kept once for all who have the same content, and nobody is to see another one's word for it."""


@dataclass(frozen=True, slots=True)
class EngineHello:
    """How an engine that keeps documents introduces itself."""

    name: str
    models: tuple[str, ...]
    embedding_dim: int


@dataclass(frozen=True, slots=True)
class Need:
    """The engine does not hold these documents (by content id)."""

    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Indexed:
    """The engine can be asked about a document now."""

    id: str
    chunks: int


EngineEvent = Event | EngineHello | Need | Indexed


def question(
    message: str,
    unique_id: str,
    history: Sequence[dict[str, str]] = (),
    documents: Sequence[str] | None = None,
    options: dict[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """A question of query, miva.v1 or HTTP; `documents` (content ids), `options` only for an engine that keeps them.

    `names` is what the asker calls the documents, for OURS.
    """
    frame: dict[str, Any] = {
        "message": message,
        "type": "chat",
        "unique_id": unique_id,
        "stream": True,
        "history": list(history),
    }
    if documents is not None:
        frame["documents"] = list(documents)
    if options is not None:
        frame["options"] = options
    if names:
        frame["names"] = dict(names)
    return dump(frame)


def document(id: str, name: str, pages: int, owner: str) -> str:
    return dump({"type": "document", "id": id, "name": name, "pages": pages, "owner": owner})


def page(id: str, number: int, text: str) -> str:
    return dump({"type": "page", "id": id, "page": number, "text": text})


def document_end(id: str, outline: Sequence[tuple[int, str, int]] = ()) -> str:
    """The end of a document; of one with bookmarks (level from 0, title, page from 1) the frame has them as well."""
    frame: dict[str, Any] = {"type": "document_end", "id": id}
    if outline:
        frame["outline"] = [{"level": level, "title": title, "page": page} for level, title, page in outline]
    return dump(frame)


def forget(id: str) -> str:
    return dump({"type": "forget", "id": id})


def cancel(unique_id: str) -> str:
    return dump({"type": "cancel", "unique_id": unique_id})


def read(frame: str, *, keeps_documents: bool = False) -> EngineEvent:
    """What a text frame of an engine says; whatever is not typed as the contract has it is a whole Reply.

    `keeps_documents`: the engine selected miva.engine.v1, whose own words count only then.
    """
    if (text := _bare_piece(frame)) is not None:  # nearly all frames, so first
        return Delta(text)
    data = _object(frame)
    if data is None:
        return Reply(frame, frame)
    if (text := _piece(data)) is not None:
        return Delta(text)
    event = _typed(data) or (_of_keeper(data) if keeps_documents else None)
    return event or Reply(frame, _text(data, frame))


def piece(frame: str) -> str | None:
    """The text of a typed piece of an answer, None for any other frame: `read` at a part of its cost."""
    if (text := _bare_piece(frame)) is not None:
        return text
    data = _object(frame)
    return _piece(data) if data is not None else None


def sources_in(frame: str) -> tuple[Source, ...]:
    """The `sources` that an untyped reply may carry beside its text, as the embedded engine's do."""
    data = _object(frame)
    return () if data is None else _sources(data.get("sources"))


_BARE = ('{"type":"stream","content":"', '{"type": "stream", "content": "')
"""How a piece begins that has nothing but its text: a string of JSON and a brace are left."""


def _bare_piece(frame: str) -> str | None:
    """The text of such a piece, at less than half of what an object of JSON takes; None for any other frame."""
    if frame.startswith(_BARE):
        try:
            text, end = scanstring(frame, len(_BARE[frame[8] == " "]))
        except ValueError:
            return None
        if frame[end:] == "}":
            return str(text)
    return None


def _piece(data: dict[str, Any]) -> str | None:
    text = data.get("content") if data.get("type") == "stream" else None
    return text if isinstance(text, str) else None


_decoder = json.JSONDecoder()


def _object(frame: str) -> dict[str, Any] | None:
    """The JSON object that a frame is, or None."""
    try:
        data, end = _decoder.raw_decode(frame)  # less than half of the cost of json.loads on a small frame …
    except (ValueError, RecursionError):
        end = -1
    if end != len(frame):
        try:
            data = json.loads(frame)  # … which also knows white space around the value
        except (ValueError, RecursionError):
            return None
    return data if isinstance(data, dict) else None


def _typed(data: dict[str, Any]) -> EngineEvent | None:
    match data:
        case {"type": "thinking"}:
            return Thinking()
        case {"type": "done"}:
            response = data.get("response")
            return Done(response if isinstance(response, str) else "", _sources(data.get("sources")))
        case {"type": "error"}:
            message = data.get("message")
            return Failed(EngineError(message if isinstance(message, str) and message else None))
        case {"type": "sources", "sources": list(sources)}:
            return Sources(_sources(sources))
        case {"type": "progress"}:
            return Progress(str(data.get("stage", "engine")), _count(data.get("done")), _count(data.get("total")))
        case _:
            return None


def _of_keeper(data: dict[str, Any]) -> EngineEvent | None:
    match data:
        case {"type": "hello"}:
            models = data.get("models")
            names = tuple(str(model) for model in models) if isinstance(models, list) else ()
            return EngineHello(str(data.get("name", "engine")), names, _count(data.get("embedding_dim")))
        case {"type": "need", "documents": list(documents)}:
            return Need(tuple(str(id) for id in documents))
        case {"type": "indexed", "id": str(id)}:
            return Indexed(id, _count(data.get("chunks")))
        case _:
            return None


def _text(data: dict[str, Any], frame: str) -> str:
    for name in ("message", "response", "content", "text"):
        if isinstance(data.get(name), str):
            return str(data[name])
    return frame


def _sources(value: Any) -> tuple[Source, ...]:
    return tuple(source for source in value if isinstance(source, dict)) if isinstance(value, list) else ()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
