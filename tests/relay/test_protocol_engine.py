"""Reading an engine's frames: typed ones are understood, everything else is a reply, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miva.protocol import engine
from miva.protocol.events import Delta, Done, Failed, Progress, Reply, Sources, Thinking

SOURCE = {"document": "d", "name": "d.pdf", "page": 1, "quote": "q"}


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ({"type": "thinking"}, Thinking()),
        ({"type": "stream", "content": "Ada "}, Delta("Ada ")),
        ({"type": "stream", "content": ""}, Delta("")),
        ({"type": "sources", "sources": [SOURCE]}, Sources((SOURCE,))),
        ({"type": "progress", "stage": "index", "done": 1, "total": 3}, Progress("index", 1, 3)),
        ({"type": "progress"}, Progress("engine", 0, 0)),
        ({"type": "done", "response": "A.", "sources": [SOURCE]}, Done("A.", (SOURCE,))),
        ({"type": "done"}, Done("", ())),
        ({"type": "done", "response": 7, "sources": "x"}, Done("", ())),
    ],
)
def test_typed_frames_are_understood(frame: dict[str, Any], event: object) -> None:
    assert engine.read(json.dumps(frame)) == event
    assert engine.read(json.dumps(frame), keeps_documents=True) == event


KEEPERS: list[tuple[dict[str, Any], object]] = [
    ({"type": "hello", "name": "e", "models": ["m"], "embedding_dim": 384}, engine.EngineHello("e", ("m",), 384)),
    ({"type": "need", "documents": ["d"]}, engine.Need(("d",))),
    ({"type": "indexed", "id": "d", "chunks": 3}, engine.Indexed("d", 3)),
]


@pytest.mark.parametrize(("frame", "event"), KEEPERS)
def test_the_words_of_engines_that_keep_documents_are_only_theirs(frame: dict[str, Any], event: object) -> None:
    text = json.dumps(frame)
    assert engine.read(text, keeps_documents=True) == event
    assert engine.read(text) == Reply(text, text)


def test_an_engines_error_is_an_engine_error_in_its_own_words() -> None:
    failed = engine.read('{"type": "error", "message": "out of paper"}')
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.message) == ("engine_error", "out of paper")
    nameless = engine.read('{"type": "error"}')
    assert isinstance(nameless, Failed)
    assert nameless.error.message


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ('{"response":  "It says Alpha."}', "It says Alpha."),
        ('{"message": "m", "response": "r"}', "m"),
        ('{"content": "c", "text": "t"}', "c"),
        ('{"text": "t"}', "t"),
        ('{"message": 5, "response": "r"}', "r"),
        ('{"message": null}', '{"message": null}'),
        ('{"type": "chat", "message": "m"}', "m"),
        ('{"type": "hello", "message": "hello to you"}', "hello to you"),
        ('{"type": "need", "documents": ["x"]}', '{"type": "need", "documents": ["x"]}'),
        ('{"type": "indexed", "id": "x", "text": "t"}', "t"),
        ('{"type": "stream", "content": 5}', '{"type": "stream", "content": 5}'),
        ('{"type": "stream"}', '{"type": "stream"}'),
        ('{"type": ["done"]}', '{"type": ["done"]}'),
        ("not even json", "not even json"),
        ("", ""),
        ("[1]", "[1]"),
        ('"x"', '"x"'),
        ("null", "null"),
        ("NaN", "NaN"),
    ],
)
def test_any_other_frame_is_a_whole_reply_with_its_frame_kept(frame: str, text: str) -> None:
    assert engine.read(frame) == Reply(frame, text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
words = ["thinking", "stream", "sources", "progress", "done", "error", "hello", "need", "indexed", "chat"]
members = ["content", "sources", "stage", "done", "total", "response", "message", "name", "models", "documents", "id"]
frames_like = st.builds(
    lambda kind, more: json.dumps({"type": kind} | more),
    st.sampled_from(words) | values,
    st.dictionaries(st.sampled_from([*members, "chunks", "embedding_dim"]), values, max_size=5),
)


@settings(max_examples=500, deadline=None)
@given(frames_like | st.text() | values.map(json.dumps))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("9" * 5000)
@example('{"type": "progress", "done": ' + "9" * 5000 + "}")
def test_nothing_an_engine_says_makes_the_reader_raise(frame: str) -> None:
    assert engine.read(frame) is not None
    assert engine.read(frame, keeps_documents=True) is not None
    assert isinstance(engine.sources_in(frame), tuple)


pieces_like = st.builds(
    lambda text, separators, behind: json.dumps({"type": "stream", "content": text}, separators=separators) + behind,
    st.text() | values,
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.sampled_from(["", "", " ", "}", "x", '"']),
)


@settings(max_examples=500, deadline=None)
@given(pieces_like | frames_like | pieces_like.map(lambda frame: frame[:-1]))
@example('{"type":"stream","content":"a\nb"}')
@example('{"type":"stream","content":"\\q"}')
@example('{"type":"stream","content":"a","type":"done"}')
def test_a_piece_is_what_json_says(frame: str) -> None:
    try:
        data = json.loads(frame)
    except ValueError:
        data = None
    is_piece = isinstance(data, dict) and data.get("type") == "stream" and isinstance(data.get("content"), str)
    assert engine.piece(frame) == (data["content"] if is_piece else None)
    assert (engine.read(frame) == Delta(engine.piece(frame) or "")) is is_piece


def test_what_the_relay_says_is_the_contracts() -> None:
    assert json.loads(engine.question("Who?", "u", [{"role": "user", "content": "x"}])) == {
        "message": "Who?",
        "type": "chat",
        "unique_id": "u",
        "stream": True,
        "history": [{"role": "user", "content": "x"}],
    }
    kept = json.loads(engine.question("Who?", "u", [], ["d"], {}))
    assert (kept["documents"], kept["options"]) == (["d"], {})
    assert [json.loads(frame) for frame in (engine.document("d", "n", 2, "o"), engine.page("d", 1, "t"))] == [
        {"type": "document", "id": "d", "name": "n", "pages": 2, "owner": "o"},
        {"type": "page", "id": "d", "page": 1, "text": "t"},
    ]
    told = json.loads(engine.document_end("d", [(0, "Part ä", 1), (1, "Chapter", 7)]))
    assert told.pop("outline") == [
        {"level": 0, "title": "Part ä", "page": 1},
        {"level": 1, "title": "Chapter", "page": 7},
    ]
    assert told == {"type": "document_end", "id": "d"}
    assert [json.loads(frame) for frame in (engine.document_end("d"), engine.forget("d"), engine.cancel("u"))] == [
        {"type": "document_end", "id": "d"},
        {"type": "forget", "id": "d"},
        {"type": "cancel", "unique_id": "u"},
    ]
