"""Text files come out as text whatever their encoding, and files that are not text are refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miva.documents import plain_text
from miva.documents.clean import clean, is_garbled
from miva.documents.refusal import Refusal

GERMAN = "Die Prüfung läuft über Köln, Düsseldorf und Österreich; größere Mengen dürfen nicht geführt werden. " * 4
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Быстрая лиса прыгает через ленивую собаку. " * 4
JAPANESE = "これは日本語の文章です。文字コードを正しく判別できるかどうかを確かめるために書かれました。" * 6
CHINESE = "这是一个用来检查文字编码的中文段落，它包含了许多常见的汉字，希望能够被正确地识别出来。" * 6


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["plain words, nothing else\nsecond line", GERMAN, RUSSIAN, "a", "混ぜた text"])
def test_unicode_in_any_form_is_read(text: str, encoding: str) -> None:
    found, name = plain_text.decode_bytes(text.encode(encoding))
    assert clean(found) == text.strip("\n").rstrip() or clean(found) == clean(text)
    assert name.startswith("utf-")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(GERMAN, "cp1252"), (GERMAN, "latin-1"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "shift_jis"),
     (JAPANESE, "euc_jp"), (CHINESE, "gb18030"), (CHINESE, "big5")],
)  # fmt: skip
def test_older_encodings_are_recognised(text: str, encoding: str) -> None:
    data = text.encode(encoding, errors="ignore")
    assert plain_text.decode_bytes(data)[0] == data.decode(encoding)


def test_a_short_western_text_is_read_as_western() -> None:
    assert plain_text.decode_bytes("Café für 5 €".encode("cp1252"))[0] == "Café für 5 €"


@pytest.mark.parametrize(
    "data",
    [
        bytes(500),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00\x08\x06" * 20,
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00\x01\x00\x00\x00" * 30,
        random.Random(1).randbytes(4000),
        b"\xff\xfe" + random.Random(2).randbytes(4000),
    ],
)
def test_what_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        plain_text.decode_bytes(data)
    assert refused.value.code == "unsupported_type"


@given(st.binary(max_size=200))
def test_any_bytes_give_text_that_can_be_stored_or_a_refusal(data: bytes) -> None:
    try:
        text, _ = plain_text.decode_bytes(data)
    except Refusal:
        return
    assert "\0" not in clean(text)
    clean(text).encode()


@given(st.text(st.characters(), max_size=80))
def test_cleaned_text_is_always_fit_to_store_and_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean(text)
    once.encode()
    assert not set(once) & set("\0\r\x0b\x0c\x1b\x7f\ufffe\uffff")
    assert clean(once) == once


def test_rubbish_is_told_from_text() -> None:
    assert is_garbled("\x01\x04\x05\x06 \x07\x08")
    assert is_garbled("\ue001\ue002\ue003 ab")
    assert is_garbled("/g936/g1007/g1004 and /G43/G24 /c128/c160/c045")
    assert not is_garbled("See /etc/rc5 and /v1/a2 in /usr/share, 1/2 or s/p500")
    assert not is_garbled("Ordinary words, numbers 123 and “signs” • — €")
    assert not is_garbled("")


def test_small_capitals_of_old_fonts_are_letters() -> None:
    assert clean("\uf761\uf762c \uf731") == "abc 1"
