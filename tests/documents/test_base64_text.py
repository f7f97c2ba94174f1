"""Base64 as clients write it gives the same bytes, and everything else is refused."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.documents import base64_text
from miva.documents.refusal import Refusal

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n\v\f"


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(
    data=st.binary(max_size=300),
    url_safe=st.booleans(),
    padded=st.booleans(),
    prefix=st.sampled_from(
        [b"", b"data:application/pdf;base64,", b" \n data:text/plain;charset=utf-8;base64,", b"data:;base64,"]
    ),
    spaces=st.lists(st.tuples(st.integers(0, 500), st.sampled_from([b" ", b"\r\n", b"\t"])), max_size=8),
    places=st.lists(st.integers(0, 1000), max_size=5),
)
def test_all_tolerated_spellings_mean_the_same_bytes(
    data: bytes, url_safe: bool, padded: bool, prefix: bytes, spaces: list[tuple[int, bytes]], places: list[int]
) -> None:
    text = base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)
    if not padded:
        text = text.rstrip(b"=")
    for place, space in spaces:
        place %= len(text) + 1
        text = text[:place] + space + text[place:]
    first, *others = cut(text, places)
    assert b"".join(base64_text.decode([prefix + first, *others])) == data


@given(
    text=st.binary(max_size=60),
    place=st.integers(0, 60),
    wrong=st.sampled_from([b"*", b"\0", b"\xff", b",", b"%", b"."]),
)
def test_a_foreign_character_anywhere_is_refused(text: bytes, place: int, wrong: bytes) -> None:
    encoded = base64.b64encode(text)
    place %= len(encoded) + 1
    with pytest.raises(Refusal):
        list(base64_text.decode([encoded[:place] + wrong + encoded[place:]]))


@given(text=st.lists(st.sampled_from([bytes([mark]) for mark in ALPHABET]), max_size=30).map(b"".join))
def test_cutting_into_pieces_never_changes_the_outcome(text: bytes) -> None:
    def outcome(pieces: list[bytes]) -> bytes | None:
        try:
            return b"".join(base64_text.decode(pieces))
        except Refusal:
            return None

    whole = outcome([text])
    assert outcome([text[place : place + 1] for place in range(len(text))]) == whole
    assert outcome(cut(text, [5, 11])) == whole


@pytest.mark.parametrize(
    "text", [b"A", b"AAAAA", b"YQ==YQ==", b"YQ===", b"=", b"====", b"Y=Q=", b"YWI==", b"data:x,YQ=="]
)
def test_wrong_lengths_and_paddings_are_refused(text: bytes) -> None:
    with pytest.raises(Refusal):
        list(base64_text.decode([text]))
