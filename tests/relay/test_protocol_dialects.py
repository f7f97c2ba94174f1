"""The three dialects as data: what a frame asks for, how an event is told, and which mistakes are named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miva.protocol import errors, plain, query, v1
from miva.protocol.errors import BadField, MivaError, NotFound, RateLimited, UnsupportedType
from miva.protocol.events import (
    Accepted,
    Cancelled,
    Delta,
    Done,
    Event,
    Failed,
    Gap,
    Place,
    Pong,
    Progress,
    Reply,
    Reset,
    Sources,
    Thinking,
)
from miva.protocol.frames import dump
from miva.protocol.requests import Ask, Cancel, InlineFile, Ping, Resume, Upload

LONGEST = 100
PLACE = Place("c", "t", 4)
UPLOAD = {"type": "upload", "id": "u", "name": "a.pdf", "media_type": "application/pdf", "size": 5}
FILE = {"name": "a.pdf", "type": "application/pdf", "content": "QQ=="}


def plain_ask(data: dict[str, Any]) -> Ask:
    return plain.decode(data, json.dumps(data), LONGEST)


def all_errors(kind: type[MivaError] = MivaError) -> list[type[MivaError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in all_errors(below))]


def test_a_plain_question_without_a_file_keeps_its_own_frame() -> None:
    raw = '{"message":  "q", "mood": 1e2}'
    assert plain.decode(json.loads(raw), raw, LONGEST) == Ask("q", raw=raw)


def test_a_plain_question_may_have_one_file_or_several_and_then_no_words() -> None:
    asked = plain_ask({"message": "", "file": FILE, "files": [FILE | {"password": "p"}, FILE], "unique_id": 7})
    file = InlineFile("a.pdf", "application/pdf", "QQ==")
    locked = InlineFile("a.pdf", "application/pdf", "QQ==", "p")
    assert asked == Ask("", (file, locked, file), unique_id=7)
    assert plain_ask({"message": "q", "file": None, "files": None, "unique_id": None}).files == ()


@pytest.mark.parametrize("written", ["1", "1.0", "1e0", "10e-1"])
def test_a_whole_number_is_one_id_however_it_is_written(written: str) -> None:
    assert str(plain_ask(json.loads(f'{{"message": "q", "unique_id": {written}}}')).unique_id) == "1"


@pytest.mark.parametrize("number", [2**63, -(2**63), 0, 1.5, 5e-324])
def test_a_number_of_a_usual_size_is_an_id(number: float) -> None:
    assert plain_ask({"message": "q", "unique_id": number}).unique_id == number


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({}, "message"),
    ({"message": None}, "message"),
    ({"message": ["q"]}, "message"),
    ({"message": " \n"}, "message"),
    ({"message": "x" * (LONGEST + 1)}, "message"),
    ({"message": "q", "type": "shout"}, "type"),
    ({"message": "q", "unique_id": ["u"]}, "unique_id"),
    ({"message": "q", "unique_id": True}, "unique_id"),
    ({"message": "q", "unique_id": "u" * 256}, "unique_id"),
    ({"message": "q", "unique_id": 10**399}, "unique_id"),
    ({"message": "q", "unique_id": -(10**399)}, "unique_id"),
    ({"message": "q", "unique_id": float("inf")}, "unique_id"),
    ({"message": "q", "unique_id": [10**399]}, "unique_id"),
    ({"message": "q", "unique_id": "u", "Unique_ID": "v"}, "Unique_ID"),
    ({"message": "q", "UNIQUE_ID": "u"}, "UNIQUE_ID"),
    ({"message": "q", "file": "a.pdf"}, "file"),
    ({"message": "q", "files": FILE}, "files"),
    ({"message": "q", "files": [FILE, 5]}, "files"),
    ({"message": "q", "files": [FILE] * 21}, "files"),
    ({"message": "q", "file": FILE | {"content": None}}, "file.content"),
    ({"message": "q", "file": {"name": "a.pdf"}}, "file.content"),
    ({"message": "q", "file": FILE | {"name": 5}}, "file.name"),
    ({"message": "q", "file": FILE | {"name": "x" * 256}}, "file.name"),
    ({"message": "q", "file": FILE | {"type": {}}}, "file.type"),
    ({"message": "q", "file": FILE | {"password": 5}}, "file.password"),
    ({"message": "q", "files": [FILE | {"name": []}]}, "files.name"),
]


@pytest.mark.parametrize(("data", "field"), BAD_FIELDS, ids=lambda value: str(value)[:40])
def test_a_wrong_field_of_a_plain_frame_is_named(data: dict[str, Any], field: str) -> None:
    with pytest.raises(BadField) as caught:
        plain_ask(data)
    assert caught.value.field == field


@given(st.text(alphabet=st.characters()) | st.text('\ud800\udfff"\\\n\x00é\u2028'), st.text(), st.integers(1, 2**62))
def test_a_piece_of_an_answer_is_written_as_any_other_frame(text: str, label: str, seq: int) -> None:
    frame = v1.encode(Delta(text), Place(label, "t", seq))
    assert frame is not None
    written = {"type": "delta", "conversation": label, "turn": "t", "seq": seq, "text": text}
    assert json.loads(frame) == json.loads(dump(written))
    frame.encode()


NAMES = [
    *("message", "type", "unique_id", "file", "files", "query", "id", "conversation", "turn", "after"),
    *("name", "media_type", "size", "sha256", "replaces"),
]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=5)
            | st.sampled_from(["chat", "ask", "cancel", "resume", "upload"]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["name", "type", "content", "password"]), inner, max_size=4)
            ),
            max_leaves=6,
        ),
        max_size=6,
    )
)
def test_every_object_is_a_request_or_a_named_mistake_in_every_dialect(data: dict[str, Any]) -> None:
    for decode in (plain_ask, lambda data: query.decode(data, LONGEST), lambda data: v1.decode(data, LONGEST)):
        try:
            found: object = decode(data)
        except MivaError as why:
            found = why
        assert isinstance(found, Ask | Cancel | Ping | Resume | Upload) or (
            isinstance(found, MivaError) and found.is_mistake
        )


def test_a_plain_error_is_one_frame_with_a_sentence_and_a_code() -> None:
    assert json.loads(plain.encode_error(BadField("Words.", field="message"))) == {
        "error": "Words.",
        "code": "bad_field",
        "field": "message",
    }
    assert json.loads(plain.encode_error(RateLimited("Wait.", retry_after=2.34)))["retry_after"] == 2.3


@pytest.mark.parametrize("unique_id", ["u", 7, 1.5, None, "é😀"])
def test_the_engine_gets_exactly_three_members(unique_id: Any) -> None:
    frame = plain.engine_question("m", unique_id)
    assert json.loads(frame) == {"message": "m", "type": "chat", "unique_id": unique_id}


def told(teller: query.Teller, *events: Event) -> list[Any]:
    return [json.loads(frame) for event in events for frame in teller.frames(event)]


def test_a_query_is_told_in_its_own_words() -> None:
    source = {"document": "d", "name": "n", "page": 1, "quote": "q"}
    events: list[Event] = [
        Thinking(),
        Delta("A "),
        Reply("{}", "two  words\n"),
        Sources((source,)),
        Done("A", (source,)),
    ]
    assert told(query.Teller(), *events) == [
        {"type": "thinking"},
        {"type": "stream", "content": "A "},
        {"type": "stream", "content": "two  "},
        {"type": "stream", "content": "words\n"},
        {"type": "done", "response": "A", "sources": [source]},
    ]
    assert told(query.Teller(), Reply("x", "late", late=True)) == []
    assert told(query.Teller(), Failed(NotFound("No.")))[0]["code"] == "not_found"
    assert json.loads(query.welcome("Ada"))["type"] == "welcome"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_the_pieces_of_a_long_reply_make_the_reply(text: str) -> None:
    assert "".join(frame["content"] for frame in told(query.Teller(), Reply("f", text))) == text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("ab", max_size=3)), st.lists(st.text("ab", max_size=3)), st.lists(st.text("ab", max_size=3)))
def test_a_query_asked_again_goes_on_where_its_words_are_new(
    before: list[str], again: list[str], third: list[str]
) -> None:
    """What is streamed is the longest of the answers, as long as each of them begins like the one before."""
    first, second, last = "".join(before), "".join(again), "".join(third)
    teller = query.Teller()
    told(teller, Thinking(), *map(Delta, before), Reset(2), Thinking())
    streamed = first + "".join(frame["content"] for frame in told(teller, *map(Delta, again)))
    assert streamed == (second if second.startswith(first) else first)
    more = told(teller, Reset(3), Thinking(), *map(Delta, third))
    assert all(frame["type"] == "stream" for frame in more)
    assert streamed + "".join(frame["content"] for frame in more) == (last if last.startswith(streamed) else streamed)
    assert told(teller, Done(last)) == [{"type": "done", "response": last, "sources": []}]
    assert told(teller, Thinking(), Delta("new")) == [{"type": "thinking"}, {"type": "stream", "content": "new"}]


@pytest.mark.parametrize("data", [{"query": ""}, {"query": 5}, {"query": "x" * 101}, {}])
def test_a_wrong_query_is_named(data: dict[str, Any]) -> None:
    with pytest.raises(BadField) as caught:
        query.decode(data, LONGEST)
    assert caught.value.field == "query"


def test_v1_requests() -> None:
    ask = {"type": "ask", "id": "q", "conversation": "c", "message": "m", "documents": ["d"], "files": [FILE]}
    file = InlineFile("a.pdf", "application/pdf", "QQ==")
    assert v1.decode(ask, LONGEST) == Ask("m", (file,), ("d",), id="q", conversation="c")
    assert v1.decode(ask | {"replaces": "t"}, LONGEST) == Ask(
        "m", (file,), ("d",), id="q", conversation="c", replaces="t"
    )
    assert v1.decode({"type": "cancel", "turn": "t"}, LONGEST) == Cancel("t")
    assert v1.decode({"type": "ping"}, LONGEST) == Ping()
    resume = {"type": "resume", "conversation": "c", "after": 0}
    assert v1.decode(resume, LONGEST) == Resume("c", 0)
    assert v1.decode(resume | {"after": 2.0, "id": "r"}, LONGEST) == Resume("c", 2, "r")
    upload = {"type": "upload", "id": "u", "name": "a.pdf", "media_type": "application/pdf", "size": 5}
    assert v1.decode(upload, LONGEST) == Upload("u", "a.pdf", "application/pdf", 5)
    assert v1.decode(upload | {"sha256": "AB" * 32, "password": "p", "size": 0, "media_type": None}, LONGEST) == Upload(
        "u", "a.pdf", "", 0, "ab" * 32, "p"
    )


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "type"),
        ({"type": "shout"}, "type"),
        ({"type": ["ask"]}, "type"),
        ({"type": "ask", "message": "m"}, "id"),
        ({"type": "ask", "message": "m", "id": ""}, "id"),
        ({"type": "ask", "message": "m", "id": 5}, "id"),
        ({"type": "ask", "message": "", "id": "q"}, "message"),
        ({"type": "ask", "message": "m", "id": "q", "conversation": 5}, "conversation"),
        ({"type": "ask", "message": "m", "id": "q", "conversation": ""}, "conversation"),
        ({"type": "ask", "message": "m", "id": "q", "documents": "d"}, "documents"),
        ({"type": "ask", "message": "m", "id": "q", "documents": [5]}, "documents"),
        ({"type": "ask", "message": "m", "id": "q", "replaces": 5}, "replaces"),
        ({"type": "ask", "message": "m", "id": "q", "replaces": ""}, "replaces"),
        ({"type": "cancel"}, "turn"),
        ({"type": "resume", "after": 0}, "conversation"),
        ({"type": "resume", "conversation": "", "after": 0}, "conversation"),
        ({"type": "resume", "conversation": "c"}, "after"),
        ({"type": "resume", "conversation": "c", "after": -1}, "after"),
        ({"type": "resume", "conversation": "c", "after": "1"}, "after"),
        ({"type": "resume", "conversation": "c", "after": 1.5}, "after"),
        ({"type": "resume", "conversation": "c", "after": True}, "after"),
        ({"type": "resume", "conversation": "c", "after": 2**63}, "after"),
        ({"type": "resume", "conversation": "c", "after": 0, "id": 5}, "id"),
        (UPLOAD | {"id": None}, "id"),
        (UPLOAD | {"name": ""}, "name"),
        (UPLOAD | {"name": "x" * 256}, "name"),
        (UPLOAD | {"media_type": 5}, "media_type"),
        (UPLOAD | {"size": -1}, "size"),
        (UPLOAD | {"size": "5"}, "size"),
        (UPLOAD | {"size": None}, "size"),
        (UPLOAD | {"sha256": "ab"}, "sha256"),
        (UPLOAD | {"sha256": "x" * 64}, "sha256"),
        (UPLOAD | {"password": 5}, "password"),
        (UPLOAD | {"password": "x" * 1025}, "password"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_of_a_v1_frame_is_named(data: dict[str, Any], field: str) -> None:
    with pytest.raises(BadField) as caught:
        v1.decode(data, LONGEST)
    assert caught.value.field == field
    id = data.get("id")
    assert caught.value.refused_id == (id if isinstance(id, str) and id else None)


def test_v1_events_stand_at_their_place() -> None:
    assert json.loads(v1.encode(Delta("x"), PLACE) or "") == {
        "type": "delta",
        "conversation": "c",
        "turn": "t",
        "seq": 4,
        "text": "x",
    }
    bodies: list[tuple[Any, dict[str, Any]]] = [
        (
            Accepted("q", "m", ("d",), 1),
            {"type": "accepted", "id": "q", "message": "m", "documents": ["d"], "position": 1},
        ),
        (
            Progress("extract", 1, 2, document="d"),
            {"type": "progress", "stage": "extract", "done": 1, "total": 2, "document": "d"},
        ),
        (Thinking(), {"type": "thinking"}),
        (Reply("f", "t"), {"type": "reply", "frame": "f"}),
        (Reply("f", "t", late=True), {"type": "reply", "frame": "f", "late": True}),
        (
            Done("x", (), 5, "<p>x</p>"),
            {"type": "done", "message_id": 5, "text": "x", "html": "<p>x</p>", "sources": []},
        ),
        (Cancelled(), {"type": "cancelled"}),
        (Reset(2), {"type": "reset", "attempt": 2}),
        (Failed(NotFound("No.")), {"type": "error", "code": "not_found", "message": "No."}),
    ]
    for event, body in bodies:
        assert json.loads(v1.encode(event, PLACE) or "") == body | {"conversation": "c", "turn": "t", "seq": 4}
    assert json.loads(v1.encode(Gap(7), Place("c")) or "") == {"type": "gap", "conversation": "c", "head": 7}
    assert json.loads(v1.encode(Pong()) or "") == {"type": "pong"}
    assert json.loads(v1.encode(Failed(UnsupportedType(), "q")) or "")["id"] == "q"
    assert v1.encode(Sources(()), PLACE) is None


def test_every_code_of_the_contract_has_one_class_and_a_sentence_for_a_person() -> None:
    codes = [
        "bad_json",
        "bad_field",
        "bad_frame",
        "unsupported_type",
        "bad_base64",
        "not_a_pdf",
        "encrypted_pdf",
        "broken_pdf",
        "no_text",
        "file_too_large",
        "too_many_pages",
        "extraction_timeout",
        "extraction_memory",
        "rate_limited",
        "forbidden",
        "not_found",
        "busy",
        "engine_unavailable",
        "engine_timeout",
        "engine_error",
        "unauthenticated",
        "internal",
    ]
    known = {kind.code: kind for kind in all_errors() if kind.__module__ == errors.__name__}
    assert sorted(known) == sorted(codes)
    for kind in known.values():
        error = kind()
        assert error.message[0].isupper()
        assert error.message.endswith(".")
        assert 400 <= error.http_status <= 504
        assert error.details() == {}
    mistakes = {code for code, kind in known.items() if any(k.is_mistake for k in all_errors() if k.code == code)}
    assert mistakes.isdisjoint(
        {"rate_limited", "busy", "internal", "engine_unavailable", "engine_timeout", "engine_error"}
    )


@pytest.mark.parametrize("value", ["\0z", "\ud800", "a\udfff"])
@pytest.mark.parametrize("field", ["id", "conversation", "replaces"])
def test_what_could_not_be_kept_as_it_came_names_nothing(field: str, value: str) -> None:
    with pytest.raises(BadField) as raised:
        v1.decode({"type": "ask", "id": "q", "message": "m", field: value}, 1000)
    assert raised.value.field == field
