"""The page's pure modules, run in the browser that they are written for: state + event -> state, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.product import Product

ASKED = {"type": "asked", "id": "q", "message": "Who?", "documents": []}
PUT = {"type": "put", "id": "q", "documents": []}
OF_TURN = {"conversation": "c", "turn": "t"}
ACCEPTED = {"type": "accepted", **OF_TURN, "seq": 1, "id": "q", "message": "Who?", "documents": [], "position": 0}
THINKING = {"type": "thinking", **OF_TURN, "seq": 2}
DONE = {"type": "done", **OF_TURN, "message_id": 1, "text": "Ada.", "html": "<p>Ada.</p>", "sources": []}
CANCELLED = {"type": "cancelled", **OF_TURN}
FAILED = {"type": "error", **OF_TURN, "code": "engine_error", "message": "It failed."}
LOST = {"type": "disconnected", "refused": False, "message": "gone"}
REFUSED = {"type": "disconnected", "refused": True, "message": "too large"}


def delta(text: str) -> dict[str, Any]:
    return {"type": "delta", **OF_TURN, "text": text}


def reply(frame: str, **more: Any) -> dict[str, Any]:
    return {"type": "reply", **OF_TURN, "frame": frame, **more}


@pytest.fixture(scope="module")
def modules(browser: Browser, product: Product) -> Iterator[Page]:
    """A page of the product's on which its modules can be imported."""
    page = browser.new_page()
    page.goto(product.url + "static/plain.html")
    yield page
    page.close()


def play(modules: Page, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns after these events."""
    turns: list[dict[str, Any]] = modules.evaluate(
        """async events => {
            const { emptyTranscript, apply } = await import("/static/transcript.js")
            return events.reduce(apply, emptyTranscript("c")).turns
        }""",
        list(events),
    )
    return turns


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ASKED], {"status": "waiting", "turn": None, "text": ""}),
        ([ASKED, {"type": "held", "id": "q", "waitsFor": "documents"}], {"waitsFor": "documents"}),
        ([ASKED, PUT], {"status": "sent", "waitsFor": None}),
        ([ASKED, PUT, ACCEPTED], {"status": "running", "turn": "t"}),
        ([ASKED, PUT, ACCEPTED | {"position": 2}], {"status": "queued"}),
        ([ASKED, PUT, ACCEPTED | {"position": 2}, THINKING], {"status": "running"}),
        ([ASKED, PUT, ACCEPTED, delta("Ada "), delta("L.")], {"status": "running", "text": "Ada L."}),
        ([ASKED, PUT, ACCEPTED, delta("A"), DONE], {"status": "done", "text": "Ada.", "html": "<p>Ada.</p>"}),
        ([ASKED, PUT, ACCEPTED, DONE, ACCEPTED], {"status": "done"}),
        ([ASKED, PUT, ACCEPTED, DONE, delta("more")], {"text": "Ada."}),
        ([ASKED, PUT, ACCEPTED, delta("A"), CANCELLED, delta("B")], {"status": "cancelled", "text": "A"}),
        ([ASKED, PUT, ACCEPTED, DONE, CANCELLED], {"status": "done"}),
        (
            [ASKED, PUT, ACCEPTED, FAILED],
            {"status": "failed", "error": {"code": "engine_error", "message": "It failed."}},
        ),
        ([ASKED, PUT, FAILED | {"turn": None, "id": "q"}], {"status": "failed"}),
        ([ASKED, PUT, FAILED | {"turn": None, "id": "other"}], {"status": "sent"}),
        ([ASKED, PUT, FAILED | {"turn": None}], {"status": "sent"}),
        ([ASKED, {"type": "withdrawn", "id": "q"}], {"status": "cancelled"}),
        ([ASKED, LOST], {"status": "waiting"}),
        ([ASKED, PUT, LOST], {"status": "lost", "turn": None}),
        ([ASKED, PUT, REFUSED], {"status": "failed", "error": {"code": None, "message": "too large"}}),
        ([ASKED, PUT, ACCEPTED, delta("A"), LOST], {"status": "lost", "text": "A"}),
        ([ASKED, PUT, ACCEPTED, LOST, delta("in the middle")], {"status": "lost", "text": ""}),
        ([ASKED, PUT, ACCEPTED, LOST, DONE], {"status": "done", "text": "Ada."}),
        ([ASKED, PUT, ACCEPTED, DONE, LOST], {"status": "done"}),
        ([ASKED, PUT, ACCEPTED, reply('{"response": "one"}'), reply("two")], {"text": "one\n\ntwo"}),
        (
            [ASKED, PUT, ACCEPTED, DONE, reply("three", late=True)],
            {"status": "done", "late": ["three"], "text": "Ada."},
        ),
        ([ASKED, PUT, ACCEPTED, delta("x") | {"conversation": "other"}], {"text": ""}),
        ([ASKED, PUT, ACCEPTED, {"type": "weather", **OF_TURN}], {"status": "running"}),
        ([ASKED, PUT, ACCEPTED, {"type": "constructor"}], {"status": "running"}),
    ],
)
def test_a_turn_goes_its_way(modules: Page, events: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    [turn] = play(modules, *events)
    assert {name: turn[name] for name in expected} == expected


def test_progress_is_shown_until_the_answer_begins(modules: Page) -> None:
    progress = {"type": "progress", **OF_TURN, "stage": "extract", "done": 37, "total": 412}
    [turn] = play(modules, ASKED, PUT, ACCEPTED, progress)
    assert turn["progress"] == {"stage": "extract", "done": 37, "total": 412}
    [turn] = play(modules, ASKED, PUT, ACCEPTED, progress, delta("A"))
    assert turn["progress"] is None


def test_an_attempt_without_a_word_gives_way_when_it_is_asked_again(modules: Page) -> None:
    again: list[dict[str, Any]] = [{"type": "repeated", "id": "q"}, ASKED | {"id": "r"}]
    assert [turn["id"] for turn in play(modules, ASKED, PUT, ACCEPTED, FAILED, *again)] == ["r"]
    kept = play(modules, ASKED, PUT, ACCEPTED, delta("half"), LOST, *again)
    assert [(turn["id"], turn["repeated"]) for turn in kept] == [("q", True), ("r", False)]


def test_events_go_to_the_turn_they_name(modules: Page) -> None:
    second = ACCEPTED | {"id": "r", "turn": "u", "position": 1}
    turns = play(modules, ASKED, PUT, ACCEPTED, ASKED | {"id": "r"}, PUT | {"id": "r"}, second, delta("one"))
    assert [(turn["status"], turn["text"]) for turn in turns] == [("running", "one"), ("queued", "")]


def test_a_state_that_an_event_does_not_change_stays_the_same_object(modules: Page) -> None:
    assert modules.evaluate(
        """async events => {
            const { emptyTranscript, apply } = await import("/static/transcript.js")
            const before = events.reduce(apply, emptyTranscript("c"))
            const frozen = structuredClone(before)
            const same = apply(before, { type: "delta", conversation: "c", turn: "unknown", text: "x" }) === before
            apply(before, { type: "delta", conversation: "c", turn: "t", text: "x" })
            return same && JSON.stringify(before) === JSON.stringify(frozen)
        }""",
        [ASKED, PUT, ACCEPTED],
    )


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ('{"message": "m", "text": "t"}', "m"),
        ('{"message": {"deep": 1}, "response": "r"}', "r"),
        ('{"content": "c"}', "c"),
        ('{"text": ""}', ""),
        ('{"other": "o"}', '{"other": "o"}'),
        ("[1, 2]", "[1, 2]"),
        ("null", "null"),
        ("plain words", "plain words"),
    ],
)
def test_an_untyped_frame_is_read_for_its_words(modules: Page, frame: str, words: str) -> None:
    script = 'async frame => (await import("/static/transcript.js")).wordsOfFrame(frame)'
    assert modules.evaluate(script, frame) == words


FILE = {"type": "added", "id": "f", "name": "a.pdf", "size": 900}
SENT = {"type": "sending", "id": "f", "done": 900, "total": 900}
READING = {"type": "progress", "id": "f", "stage": "extract", "done": 37, "total": 412, "document": "d"}
READY = {"type": "ready", "id": "f", "document": "d", "pages": 412}
LOCKED = {"type": "failed", "id": "f", "code": "encrypted_pdf", "message": "Locked.", "again": False}


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([FILE], "waiting to be sent"),
        ([FILE, SENT | {"done": 300}], "sending, 33 % of 900 bytes"),
        ([FILE, SENT], "reading…"),
        ([FILE, SENT, READING], "reading page 37 of 412"),
        ([FILE, SENT, READING | {"id": "other"}], "reading…"),
        ([FILE, SENT, READING | {"stage": "index"}], "almost ready…"),
        ([FILE, SENT, READY], "412 pages"),
        ([FILE, SENT, READY, READING], "412 pages"),
        ([FILE, SENT, READY | {"pages": 1}], "1 page"),
        ([FILE, SENT, LOCKED], "locked with a password"),
        ([FILE, SENT, LOCKED | {"code": "broken_pdf", "message": "Damaged."}], "Damaged."),
        ([FILE, SENT, LOCKED, SENT | {"passwordTried": True}, READY], "412 pages"),
    ],
)
def test_a_file_says_how_far_it_is(modules: Page, events: list[dict[str, Any]], words: str) -> None:
    said = modules.evaluate(
        """async events => {
            const { emptyShelf, shelve } = await import("/static/shelf.js")
            const { fileInWords } = await import("/static/words.js")
            return events.reduce(shelve, emptyShelf()).map(fileInWords)
        }""",
        events,
    )
    assert said == [words]


@pytest.mark.parametrize(
    ("code", "words", "refused"),
    [
        (1001, "restarting", False),
        (1006, "is lost", False),
        (1008, "could not make sense", True),
        (1009, "too large", True),
        (1012, "restarting", False),
        (1013, "busy", False),
        (4401, "login has ended", False),
        (4429, "too many chat pages", False),
    ],
)
def test_every_end_of_a_connection_has_words(modules: Page, code: int, words: str, refused: bool) -> None:
    meaning = modules.evaluate('async code => (await import("/static/closes.js")).meaningOf(code)', code)
    assert words in meaning["words"]
    assert meaning["refused"] is refused
    assert meaning["login"] is (code == 4401)


def test_pauses_grow_to_half_a_minute_and_are_spread_by_chance(modules: Page) -> None:
    pauses = modules.evaluate(
        """async () => {
            const { pauseBefore } = await import("/static/closes.js")
            const at = chance => [0, 1, 2, 5, 6, 50].map(attempt => pauseBefore(attempt, { chance }))
            return [at(0), at(1), [pauseBefore(0, { slow: true, chance: 0 })]]
        }"""
    )
    assert pauses == [[250, 500, 1000, 8000, 15000, 15000], [500, 1000, 2000, 16000, 30000, 30000], [15000]]


def test_what_is_too_long_is_counted_as_the_server_counts(modules: Page) -> None:
    complaints = modules.evaluate(
        """async () => {
            const { questionTooLong } = await import("/static/words.js")
            const limits = { max_message: 100000 }
            return [
                questionTooLong("😀".repeat(50_000), limits),
                questionTooLong("x".repeat(100_001), limits),
                questionTooLong("語".repeat(90_000), limits),
                questionTooLong("語".repeat(80_000), null),
            ]
        }"""
    )
    assert complaints[0] is None
    assert "100,001 characters" in complaints[1]
    assert "too long to be sent in one piece" in complaints[2]
    assert complaints[3] is None


def test_a_frame_in_the_console_has_no_long_string(modules: Page) -> None:
    line = modules.evaluate(
        """async () => {
            const { shortened } = await import("/static/wire_log.js")
            return shortened({ type: "ask", files: [{ name: "a.pdf", content: "QUJD".repeat(5000) }] })
        }"""
    )
    assert line.startswith('{"type":"ask","files":[{"name":"a.pdf","content":"QUJDQUJD')
    assert line.endswith('… (20000 characters)"}]}')
    assert len(line) < 300
