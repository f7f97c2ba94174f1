"""Turning the bytes of a text file into text, whatever its encoding."""

from __future__ import annotations

import codecs
import os
import re

from charset_normalizer import from_bytes

from .clean import clean
from .limits import Limits
from .refusal import Refusal, too_much_text

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is this one's beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 2**18
"""Bytes from which an unknown encoding is guessed."""
_CONTROLS = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_NOT_TEXT = "This file is not text. Only PDF and plain text files can be read."


def decode(fd: int, limits: Limits) -> tuple[str, str]:
    """The file's text, cleaned, and the name of the encoding it was in. Raises Refusal."""
    size = os.fstat(fd).st_size
    if size > 4 * limits.max_characters + 4:
        # No encoding takes more than four bytes a character.
        raise Refusal("file_too_large", too_much_text(limits.max_characters))
    text, encoding = decode_bytes(os.pread(fd, size, 0))
    text = clean(text)
    if len(text) > limits.max_characters:
        raise Refusal("file_too_large", too_much_text(limits.max_characters))
    if not text.strip():
        raise Refusal(
            "no_text", "This file is empty." if not size else "There is nothing but white space in this file."
        )
    return text, encoding


def decode_bytes(data: bytes) -> tuple[str, str]:
    """Text and encoding: a byte order mark counts first, then UTF-8, then UTF-16 without a mark, then a guess.

    Raises Refusal (`unsupported_type`) for what is not text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strict(data, encoding), encoding
    if b"\0" in data:
        encoding = _utf16_without_mark(data)
        return _strict(data, encoding), encoding
    try:
        return _checked(data.decode()), "utf-8"
    except UnicodeDecodeError:
        return _guessed(data)


def _utf16_without_mark(data: bytes) -> str:
    """Which UTF-16 it is: zero bytes are the first halves of spaces, line ends and Western letters."""
    sample = data[: min(len(data), _SAMPLE) // 2 * 2]
    encoding = "utf-16-be" if sample[::2].count(0) > sample[1::2].count(0) else "utf-16-le"
    text = sample.decode(encoding, errors="replace")
    readable = sum(character.isprintable() or character.isspace() for character in text) - text.count("\ufffd")
    if 20 * readable < 19 * len(text):
        raise Refusal("unsupported_type", _NOT_TEXT)
    return encoding


def _strict(data: bytes, encoding: str) -> str:
    try:
        return _checked(data.decode(encoding))
    except UnicodeDecodeError:
        pass
    try:  # a file that was cut off in the middle of a character
        return _checked(codecs.getincrementaldecoder(encoding)().decode(data, final=False))
    except UnicodeDecodeError as why:
        raise Refusal("unsupported_type", _NOT_TEXT) from why


def _guessed(data: bytes) -> tuple[str, str]:
    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise Refusal("unsupported_type", _NOT_TEXT)
    encoding = best.encoding
    foreign = sum(byte > 0x7F for byte in data[:_SAMPLE])
    if best.coherence == 0.0 and 3 * foreign < len(data[:_SAMPLE]) and _decodes(data, "cp1252"):
        # Mostly ASCII and too little to tell the languages apart: the most common encoding of Western texts.
        encoding = "cp1252"
    return _checked(data.decode(encoding, errors="replace")), encoding


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _checked(text: str) -> str:
    if 50 * len(_CONTROLS.findall(text)) > len(text):
        raise Refusal("unsupported_type", _NOT_TEXT)
    return text
