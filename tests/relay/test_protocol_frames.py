"""Reading frames: with and without long base64 cut out of them, the outcome is that of the standard JSON parser."""

from __future__ import annotations

import contextlib
import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from miva.protocol import frames
from miva.protocol.errors import BadFrame, BadJson

NONCE = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
LONG = "QUJD" * (frames.LONG // 4)
"""Base64 just long enough to be cut out."""
MOST_STEPS = 50_000


def same(text: str) -> dict[str, Any]:
    """What both parsers make of a frame; fails where they differ."""
    found = frames.parse(text, NONCE)
    assert found == json.loads(text)
    return found


def file_frame(content: str, **more: Any) -> str:
    """A frame with a file whose content stands in it exactly so."""
    rest = json.dumps({"message": "q", "type": "chat"} | more)[:-1]
    return f'{rest}, "file": {{"name": "a.pdf", "type": "application/pdf", "content": "{content}"}}}}'


@pytest.mark.parametrize(
    "content",
    [
        LONG,
        LONG[:-2] + "==",
        LONG.replace("QUJDQ", "QU\\/DQ"),
        LONG.replace("QUJDQ", "QU\\u002BQ", 50),
        LONG.replace("QUJDQ", "QU\\u002fQ", 50),
        "\\r\\n".join([LONG[:76]] * (len(LONG) // 70)),
        "\\n".join([LONG[:76]] * (len(LONG) // 70)),
        LONG[:-1] + "\\u003d",
        "QU\\/D\\u002BQ\\u002F" * frames.LONG,
        "QU\\/D\\r\\nQ\\u002B\\n" * frames.LONG,
    ],
    ids=[
        "as it is",
        "padded",
        "escaped slash",
        "escaped plus",
        "escaped slash by number",
        "crlf",
        "lf",
        "escaped pad",
        "much escaped",
        "much escaped in lines",
    ],
)
def test_long_base64_comes_back_as_the_standard_parser_has_it(content: str) -> None:
    text = file_frame(content)
    assert len(text) > frames.LONG
    found, expected = frames.parse(text, NONCE), json.loads(text)
    # A line break inside base64 is a line break, whichever; decoding drops it.
    found["file"]["content"] = found["file"]["content"].replace("\r", "").replace("\n", "")
    expected["file"]["content"] = expected["file"]["content"].replace("\r", "").replace("\n", "")
    assert found == expected


def test_a_string_that_ends_in_an_escaped_quote_is_left_to_the_parser() -> None:
    same(file_frame(LONG + '\\"' + LONG))
    same(file_frame(LONG + "\\\\"))


def test_several_long_files_keep_their_places() -> None:
    contents = [letter * frames.LONG for letter in "ABCD"]
    found = same(
        json.dumps({"message": "", "file": {"content": contents[0]}, "files": [{"content": c} for c in contents]})
    )
    assert [file["content"] for file in found["files"]] == contents


def test_long_content_in_odd_places_is_no_file_and_spoils_none() -> None:
    for odd in (
        {"content": LONG},
        {"mood": {"content": LONG}},
        {"file": [{"content": LONG}]},
        {"files": {"content": LONG}},
        {"files": [[{"content": LONG}]]},
    ):
        text = json.dumps({"message": "q", "unique_id": "u"} | odd)
        found = frames.parse(text, NONCE)
        assert found["message"] == "q"
        assert found["unique_id"] == "u"
        assert set(found) == set(json.loads(text))


def test_a_mark_that_a_client_forges_is_only_text() -> None:
    """Who does not know the process's nonce cannot point at another file's bytes."""
    for guess in ("0", "00000000000000000000000000000000", NONCE[:-1], f"x{NONCE}0"):
        found = same(json.dumps({"file": {"content": guess}, "files": [{"content": LONG}, {"content": f"{guess}0"}]}))
        assert found["file"]["content"] == guess


def test_the_word_content_inside_a_text_is_not_a_member() -> None:
    same(json.dumps({"message": '"content": "' + LONG, "file": {"content": LONG}}))
    same(json.dumps({"message": '\\"content":"' * 4000, "file": {"content": LONG}}))
    same(json.dumps({"content": "content", "a": ["content"], "file": {"content": LONG}}))
    same('{"file": {"content" \n\t: \r "' + LONG + '"}}')
    same('{"file": {"content": 5}, "x": "content", "y": "' + LONG + '"}')


@pytest.mark.parametrize(
    "text",
    [
        '{"message": 1, "message": "q"}',
        '{"message": "q", "message": "q"}',
        '{"message": "q", "mess\\u0061ge": "q"}',
        '{"message": "q", "deep": [{"a": {"b": 1, "b": 2}}]}',
        f'{{"file": {{"content": "{LONG}", "content": "{LONG}"}}}}',
        f'{{"file": {{"content": "{LONG}"}}, "file": {{"content": "x"}}}}',
    ],
    ids=lambda text: text[:30],
)
def test_a_name_twice_in_one_object_is_bad_json(text: str) -> None:
    """Parsers disagree about which one counts, and the engine's may not be ours."""
    json.loads(text)
    with pytest.raises(BadJson):
        frames.parse(text, NONCE)


@pytest.mark.parametrize("padding", ["", LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}x",
        "{'a': 1}",
        '{"a": NaN, "pad": "%s"}',
        '{"a": Infinity, "pad": "%s"}',
        '{"a": -Infinity, "pad": "%s"}',
        '{"a": 1,, "pad": "%s"}',
        '{"file": {"content": "%s}}',
        '{"file": {"content": "%s"',
        '{"a": "\x00%s"}',
        '{"a": "tab\t%s"}',
        '{"a": "\\x41%s"}',
        '{"a": "\\ud8%s"}',
        '{"a": 0123, "content": "%s"}',
        "\ufeff{}",
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"a": [%s' % ("[" * 100_000),
        '{"a": ' + "9" * 5000 + "}",
    ],
    ids=lambda text: repr(text)[:30],
)
def test_what_is_no_json_is_bad_json(text: str, padding: str) -> None:
    with pytest.raises(BadJson):
        frames.parse(text.replace("%s", padding), NONCE)


@pytest.mark.parametrize("padding", ["", LONG], ids=["short", "long"])
@pytest.mark.parametrize("text", ["[]", '["%s"]', '"%s"', "5", "null", "true", '[{"content": "%s"}]'])
def test_json_that_is_no_object_is_a_bad_frame(text: str, padding: str) -> None:
    with pytest.raises(BadFrame) as caught:
        frames.parse(text.replace("%s", padding), NONCE)
    assert caught.value.code == "bad_frame"


@pytest.mark.parametrize(
    "unit", ['"content":', '"content" ', '"content":"x",', " ", '"content":"\\', "\\", '{"content":']
)
def test_hostile_text_is_read_in_one_pass(unit: str) -> None:
    """Work that grew with the square of these lengths would take hours."""
    with pytest.raises(BadJson):
        frames.parse(unit * (3_000_000 // len(unit)), NONCE)


@pytest.mark.parametrize(
    "text",
    [
        '{"content"' + " " * 1_000_000,
        '{"content":' + "\t" * 1_000_000 + "5",
        '"content"' * 200_000,
        '"content":' * 200_000,
        "{" + '"content":"",' * 200_000,
        file_frame("\\/" * 500_000),
        file_frame("\\u002B" * 200_000),
        file_frame("\\r\\n" * 200_000),
        file_frame("\\\\" * 200_000),
    ],
    ids=lambda text: text[:14] + text[-20:],
)
def test_python_takes_few_steps_however_long_a_frame_is(text: str) -> None:
    """Each step for each character would hold the event loop; the passes of C code over a text do not count here."""
    steps = 0

    def count(_: FrameType, __: str, ___: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            raise AssertionError("so many steps for one frame")
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        with contextlib.suppress(BadJson, BadFrame):
            frames.parse(text, NONCE)
    finally:
        sys.settrace(before)
    assert 0 < steps < MOST_STEPS


def test_too_much_beside_the_files_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame):
        frames.parse(json.dumps({"message": "x" * (frames.LARGEST_SKELETON + 1)}), NONCE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["content", "file", "files", "message", "x", NONCE]) | st.text(max_size=6),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.text(max_size=8), json_values, max_size=5),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.booleans(),
)
@example({"file": {"content": NONCE}}, True, None, False)
def test_any_object_is_read_as_the_standard_parser_reads_it(
    data: dict[str, Any], is_long: bool, indent: int | None, ascii_only: bool
) -> None:
    if is_long:
        data = data | {"files": [{"name": "n", "content": LONG}]}
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    same(text)


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_what_is_written_can_be_sent_and_read_again(value: Any) -> None:
    text = frames.dump(value)
    text.encode()
    assert json.loads(text) == value


def test_a_lone_surrogate_is_written_in_a_way_that_can_be_sent() -> None:
    for text in ("\ud800", "a\udfffb", "😀\ud83d"):
        written = frames.dump({"x": text})
        written.encode()
        assert json.loads(written) == {"x": text}
