"""Events as text and back."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.protocol import errors, stored
from miva.protocol.events import (
    Accepted,
    Cancelled,
    Delta,
    DocumentChanged,
    Done,
    Event,
    Failed,
    Gap,
    Hello,
    Pong,
    Progress,
    Reply,
    Reset,
    Sources,
    Thinking,
)

TEXT = st.text(st.characters())  # lone surrogates too: JSON may carry them
NUMBER = st.integers(0, 2**53)
CODES = sorted({kind.code for kind in errors.MivaError.__subclasses__() for kind in (kind, *kind.__subclasses__())})
SOURCES = st.lists(st.dictionaries(TEXT, TEXT | NUMBER | st.none(), max_size=3), max_size=3).map(tuple)
ERRORS = st.builds(
    lambda code, message, field, retry_after: errors.error_of(code)(message, field=field, retry_after=retry_after),
    st.sampled_from(CODES),
    TEXT.filter(bool),
    st.none() | TEXT,
    st.none() | st.floats(0, 1e6),
)
LOGGED = st.one_of(
    st.builds(Accepted, TEXT, TEXT, st.lists(TEXT).map(tuple), NUMBER),
    st.builds(Progress, TEXT, NUMBER, NUMBER, st.none() | TEXT, st.none() | TEXT),
    st.just(Thinking()),
    st.builds(Delta, TEXT),
    st.builds(Reply, TEXT, TEXT, st.booleans()),
    st.builds(Done, TEXT, SOURCES, st.none() | NUMBER, TEXT),
    st.builds(Failed, ERRORS, st.none() | TEXT),
    st.just(Cancelled()),
    st.builds(Reset, NUMBER),
)
NOT_LOGGED = (Sources(()), Hello({}, {}, {}, ""), Pong(), DocumentChanged("", {}), Gap(1))


def told(event: Event) -> dict[str, Any]:
    """What clients see of an event, to compare by: an error is equal to none but itself."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, Failed):
        values["error"] = (event.error.code, event.error.message, event.error.details())
    return {"type": type(event), **values}


@given(LOGGED)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    text = stored.dump(event)
    assert told(stored.load(text)) == told(event)
    assert text.encode().decode() == text
    assert "\x00" not in text, "PostgreSQL keeps no such text"
    assert json.loads(text)["type"]


@pytest.mark.parametrize("event", NOT_LOGGED, ids=lambda event: type(event).__name__)
def test_what_is_not_a_conversations_is_refused(event: Event) -> None:
    with pytest.raises(TypeError):
        stored.dump(event)


def test_every_event_is_one_or_the_other() -> None:
    logged = {Accepted, Progress, Thinking, Delta, Reply, Done, Failed, Cancelled, Reset}
    assert logged | {type(event) for event in NOT_LOGGED} == set(get_args(Event))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"type":"delta"}', '{"type":"wave"}', '{"type":"delta","text":"a","b":1}']
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        stored.load(text)
