"""Text frame ⇄ JSON object, quickly also where megabytes of base64 stand in the frame."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, NoReturn

from miva.protocol.errors import BadFrame, BadJson

LONG = 32 * 1024
"""Characters from which a `content` string is cut out of the frame instead of being parsed."""
LARGEST_SKELETON = 4 * 2**20
"""Characters of a frame without its files: parsing holds the event loop, so there is a bound."""

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: `json.dumps` makes it anew with every call, which costs more than writing a small frame."""
_KEY = '"content"'
_SPACES = re.compile(r"[ \t\r\n]*")
MOST_CONTENTS = 1000
"""Members named `content` that are looked at: more than any question has files, and no frame is searched for ever."""
_ESCAPES = {
    "\\/": "/",
    "\\r\\n": "\n",
    "\\n": "\n",
    "\\r": "\n",
    "\\u002b": "+",
    "\\u002B": "+",
    "\\u002f": "/",
    "\\u002F": "/",
    "\\u003d": "=",
    "\\u003D": "=",
}
"""How writers of JSON escape what stands in base64."""


def parse(text: str, nonce: str) -> dict[str, Any]:
    """The JSON object of a frame; raises BadJson, also for a name twice in one object, or BadFrame for other JSON.

    `nonce` is a word nobody can foresee: it marks the places of strings that were cut out (see `_cut`).
    """
    skeleton, spans = (text, {}) if len(text) < LONG else _cut(text, nonce)
    if len(skeleton) > LARGEST_SKELETON:
        raise BadFrame("There is too much in this frame beside its files.")
    try:
        data = json.loads(skeleton, parse_constant=_refuse_constant, object_pairs_hook=_no_name_twice)
    except (ValueError, RecursionError) as why:
        raise BadJson() from why
    if not isinstance(data, dict):
        raise BadFrame()
    if spans:
        _put_back(data, spans)
    return data


def dump(data: Any) -> str:
    """Compact JSON that can always be sent: characters as they are, or escaped where UTF-8 has no form for them."""
    text = _compact(data)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON may carry as an escape
        return json.dumps(data, separators=(",", ":"))
    return text


def quoted(text: str) -> str:
    """A text as it stands in what `dump` makes, for those who have no time to make an object first."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return str(encode_basestring_ascii(text))
    return str(encode_basestring(text))


def _cut(text: str, nonce: str) -> tuple[str, dict[str, str]]:
    """The frame with each long `"content": "…"` replaced by a short mark, and the string that stood there by its mark.

    In valid JSON `"content"` followed by a colon and a quote can only be a member's name and the start of its value, so
    nothing else is ever cut; a value with an escaped quote in it is no base64 and is left to the parser.
    """
    pieces: list[str] = []
    spans: dict[str, str] = {}
    done = at = 0
    for _ in range(MOST_CONTENTS):
        at = text.find(_KEY, at)
        if at < 0:
            break
        at = _skip(text, at + len(_KEY))
        if text[at : at + 1] != ":":
            continue
        at = _skip(text, at + 1)
        if text[at : at + 1] != '"':
            continue
        start, end = at + 1, text.find('"', at + 1)
        if end < 0:
            break
        if end - start >= LONG and text[end - 1] != "\\":
            mark = f"{nonce}{len(spans)}"
            pieces += [text[done:start], mark]
            spans[mark] = text[start:end]
            done = end
        at = end
    return "".join([*pieces, text[done:]]), spans


def _skip(text: str, at: int) -> int:
    space = _SPACES.match(text, at)
    return space.end() if space else at


def _put_back(data: dict[str, Any], spans: dict[str, str]) -> None:
    files = data.get("files")
    for file in [data.get("file"), *(files if isinstance(files, list) else [])]:
        content = file.get("content") if isinstance(file, dict) else None
        if isinstance(content, str) and content in spans:
            file["content"] = _unescape(spans[content])


def _unescape(span: str) -> str:
    """JSON's escapes undone as far as base64 needs them; each replacement runs at the speed of a search."""
    for escape, plain in _ESCAPES.items():
        if "\\" not in span:
            break
        span = span.replace(escape, plain)
    return span


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; parsers disagree about a name that stands in it twice, and the engine's may not be ours."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
