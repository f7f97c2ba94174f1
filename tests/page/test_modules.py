"""The page's pure modules, run in the browser that they are written for: state + event -> state, without a socket."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from miva.documents.refusal import LOCKED_FOR_GOOD
from tests.product import Product

Frames = list[dict[str, Any]]

ASKED = {"type": "asked", "id": "q", "message": "Who?", "documents": []}
PUT = {"type": "put", "id": "q", "documents": []}
OF_TURN = {"conversation": "c", "turn": "t"}
ACCEPTED = {"type": "accepted", **OF_TURN, "seq": 1, "id": "q", "message": "Who?", "documents": [], "position": 0}
THINKING = {"type": "thinking", **OF_TURN, "seq": 2}
DONE = {"type": "done", **OF_TURN, "message_id": 1, "text": "Ada.", "html": "<p>Ada.</p>", "sources": []}
CANCELLED = {"type": "cancelled", **OF_TURN}
RESET = {"type": "reset", **OF_TURN, "attempt": 2}
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
        ([ASKED, PUT, LOST], {"status": "waiting", "waitsFor": "connection", "isOut": True}),
        ([ASKED, PUT, LOST, PUT, ACCEPTED], {"status": "running", "turn": "t"}),
        ([ASKED, PUT, {"type": "putBack", "id": "q", "waitsFor": "pause"}], {"status": "waiting", "isOut": False}),
        ([ASKED, PUT, REFUSED], {"status": "failed", "error": {"code": None, "message": "too large"}}),
        ([ASKED, PUT, ACCEPTED, delta("A"), LOST], {"status": "running", "text": "A"}),
        ([ASKED, PUT, ACCEPTED, delta("A"), LOST, delta("da.")], {"status": "running", "text": "Ada."}),
        ([ASKED, PUT, ACCEPTED, delta("Old"), RESET, delta("New")], {"attempt": 2, "text": "New"}),
        ([ASKED, PUT, ACCEPTED, DONE, RESET], {"status": "done", "text": "Ada."}),
        ([ACCEPTED], {"id": "q", "turn": "t", "message": "Who?", "status": "running"}),
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
    again = ASKED | {"id": "r"}
    assert [turn["id"] for turn in play(modules, ASKED, PUT, ACCEPTED, FAILED, again)] == ["r"]
    kept = play(modules, ASKED, PUT, ACCEPTED, delta("half"), CANCELLED, again)
    assert [(turn["id"], turn["repeated"]) for turn in kept] == [("q", True), ("r", False)]
    elsewhere = ACCEPTED | {"id": "r", "turn": "u", "seq": 2}
    assert [turn["id"] for turn in play(modules, ACCEPTED, FAILED, elsewhere)] == ["r"]


def test_each_event_is_taken_once_and_in_order(modules: Page) -> None:
    twice: Frames = [
        ACCEPTED,
        delta("A") | {"seq": 2},
        delta("A") | {"seq": 2},
        delta("da") | {"seq": 3},
        ACCEPTED,
    ]
    assert [turn["text"] for turn in play(modules, *twice)] == ["Ada"]
    early: Frames = [
        ACCEPTED,
        delta("da") | {"seq": 3},
        delta("A") | {"seq": 2},
        delta("da") | {"seq": 3},
    ]
    assert [turn["text"] for turn in play(modules, *early)] == ["Ada"]


def test_accepted_questions_stand_in_the_order_of_the_log_and_before_the_others(modules: Page) -> None:
    other_tab = ACCEPTED | {"id": "o", "turn": "u", "seq": 1}
    own = ACCEPTED | {"seq": 2, "position": 1}
    events: Frames = [ASKED, PUT, ASKED | {"id": "later", "message": "And?"}, other_tab, own]
    assert [turn["id"] for turn in play(modules, *events)] == ["o", "q", "later"]


def test_the_messages_fill_the_gap_that_the_log_has(modules: Page) -> None:
    said: Frames = [
        {"id": 1, "role": "user", "content": "Before?", "turn": "s", "files": ["a.pdf"]},
        {"id": 2, "role": "assistant", "content": "Yes.", "turn": "s", "html": "<p>Yes.</p>", "sources": []},
        {"id": 3, "role": "user", "content": "Who?", "turn": "t", "files": []},
        {"id": 4, "role": "assistant", "content": "Ada.", "turn": "t", "html": "<p>Ada.</p>", "sources": []},
        {"id": 5, "role": "user", "content": "Stopped?", "turn": "x", "files": [], "state": "cancelled"},
        {"id": 6, "role": "user", "content": "Broken?", "turn": "y", "files": [], "state": "failed"},
        {"id": 7, "role": "user", "content": "Twice?", "turn": "z1", "files": [], "state": "failed"},
        {"id": 8, "role": "user", "content": "Twice?", "turn": "z2", "files": [], "state": "done"},
        {"id": 9, "role": "assistant", "content": "Yes.", "turn": "z2", "html": "<p>Yes.</p>", "sources": []},
    ]
    gap = {"type": "gap", "conversation": "c", "head": 90}
    recalled = {"type": "recalled", "conversation": "c", "messages": said}
    stopped = ACCEPTED | {"id": "r", "turn": "u", "message": "Else?", "seq": 3}
    running = ACCEPTED | {"id": "n", "turn": "v", "message": "Now?", "seq": 91}
    unsent = ASKED | {"id": "w", "message": "Next?"}
    events: Frames = [
        ACCEPTED,
        delta("half") | {"seq": 2},
        stopped,
        unsent,
        gap,
        running,
        recalled,
        recalled,
    ]
    turns = [(turn["message"], turn["status"], turn["text"]) for turn in play(modules, *events)]
    assert turns == [
        ("Before?", "done", "Yes."),
        ("Who?", "done", "Ada."),
        ("Else?", "lost", ""),
        ("Stopped?", "cancelled", ""),
        ("Broken?", "failed", ""),
        ("Twice?", "done", "Yes."),
        ("Now?", "running", ""),
        ("Next?", "waiting", ""),
    ]


def test_a_question_that_was_over_before_the_log_begins_is_lost_and_not_awaited(modules: Page) -> None:
    gap = {"type": "gap", "conversation": "c", "head": 90}
    [turn] = play(modules, ASKED, PUT, gap, ACCEPTED)
    assert turn["status"] == "lost"


def test_documents_of_questions_that_were_asked_elsewhere_get_their_names(modules: Page) -> None:
    named = {"type": "named", "names": {"d": "tea.pdf"}}
    [turn] = play(modules, ACCEPTED | {"documents": ["d", "gone"]}, named)
    assert [about["name"] for about in turn["documents"]] == ["tea.pdf", None]


def test_a_question_shows_what_the_server_says_it_is_about(modules: Page) -> None:
    own = {"upload": "f", "document": "d", "name": "tea.pdf"}
    first: Frames = [ASKED | {"documents": [own]}, PUT | {"documents": [own]}, ACCEPTED | {"documents": ["d"]}, DONE]
    second = {"id": "r", "message": "And?", "documents": []}
    went_on = ACCEPTED | second | {"turn": "u", "seq": 2, "documents": ["d", "e"]}
    turns = play(modules, *first, {"type": "asked", **second}, {"type": "put", **second}, went_on)
    assert turns[0]["documents"] == [own]
    assert turns[1]["documents"] == [own, {"upload": None, "document": "e", "name": None}]


ON_SHELF = {"id": "f", "name": "tea.pdf", "document": "d", "status": "ready"}
NEW_FILE = {"id": "g", "name": "new.pdf", "document": None, "status": "sending"}
WENT_ON = [
    ACCEPTED | {"documents": ["d", "e", "deleted"]},
    {"type": "named", "names": {"d": "tea.pdf", "e": "cake.pdf"}},
]

SAID_ONCE = {"id": 1, "role": "user", "content": "Before?", "turn": "s", "files": ["old.pdf"]}
FROM_MESSAGES = [{"type": "gap", "head": 90}, {"type": "recalled", "messages": [SAID_ONCE]}]


@pytest.mark.parametrize(
    ("events", "shelf", "dropped", "shown", "named"),
    [
        ([], [], [], [], []),
        ([ASKED | {"documents": [{"upload": "x", "document": "x", "name": "x.pdf"}]}], [], [], [], []),
        (WENT_ON, [], [], ["tea.pdf inherited", "cake.pdf inherited"], ["d", "e"]),
        (WENT_ON, [ON_SHELF], [], ["tea.pdf ready", "cake.pdf inherited"], ["f", "e"]),
        (WENT_ON, [ON_SHELF], ["e"], ["tea.pdf ready"], ["f"]),
        (WENT_ON, [], ["e"], ["tea.pdf inherited"], ["d"]),
        (FROM_MESSAGES, [], [], ["old.pdf known"], []),
        (FROM_MESSAGES, [NEW_FILE], [], ["new.pdf sending"], ["g"]),
        (WENT_ON, [], ["d", "e"], ["tea.pdf known", "cake.pdf known"], []),
        (WENT_ON, [NEW_FILE], ["d", "e"], ["new.pdf sending"], ["g"]),
        (
            WENT_ON,
            [NEW_FILE | {"status": "failed"}],
            ["d", "e"],
            ["new.pdf failed", "tea.pdf known", "cake.pdf known"],
            [],
        ),
        (
            [*WENT_ON, ACCEPTED | {"id": "r", "turn": "u", "seq": 2, "documents": ["e"]}],
            [],
            ["e"],
            ["cake.pdf known"],
            [],
        ),
    ],
)
def test_what_is_shown_is_what_a_question_will_be_about(
    modules: Page, events: Frames, shelf: Frames, dropped: list[str], shown: list[str], named: list[str]
) -> None:
    found = modules.evaluate(
        """async ([events, shelf, dropped, gone]) => {
            const { emptyTranscript, apply } = await import("/static/transcript.js")
            const { documentsToName, filesInUse } = await import("/static/in_use.js")
            const chat = { transcript: events.reduce(apply, emptyTranscript("c")), shelf, dropped, gone }
            const shown = filesInUse(chat).map(({ name, status }) => `${name} ${status}`)
            return [shown, documentsToName(chat).map(({ upload, document }) => upload ?? document)]
        }""",
        [events, shelf, dropped, []],
    )
    assert found == [shown, named]


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
LOCKED = {"type": "failed", "id": "f", "code": "encrypted_pdf", "message": "Locked."}
TOO_MUCH = "This file holds too much text: more than 5,000,000 characters."


def told(status: str, **more: Any) -> dict[str, Any]:
    return {"type": "document", "id": "f", "document": {"id": "d", "status": status, "pages": None, **more}}


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
        ([FILE, SENT, LOCKED, SENT | {"done": 0, "passwordTried": True}, SENT, READY], "412 pages"),
        ([FILE, told("receiving"), SENT | {"done": 300}], "sending, 33 % of 900 bytes"),
        ([FILE, SENT | {"done": 300}, {"type": "paused", "id": "f"}], "waiting to be sent"),
        ([FILE, SENT, READING, told("indexing")], "almost ready…"),
        ([FILE, SENT, told("ready", pages=2)], "2 pages"),
        ([FILE, told("ready", pages=2), SENT], "2 pages"),
        ([FILE, told("failed", error="encrypted_pdf"), SENT], "locked with a password"),
        ([FILE, SENT, told("failed", error="not_a_pdf")], "This file is not a PDF, whatever its name says."),
        ([FILE, SENT, told("failed", error="no_such_code")], "This file could not be read."),
        ([FILE, SENT, told("failed", error="file_too_large", message=TOO_MUCH)], TOO_MUCH),
        ([FILE, SENT, told("failed", error="encrypted_pdf", message=LOCKED_FOR_GOOD)], LOCKED_FOR_GOOD),
        ([FILE, SENT, told("failed", error="encrypted_pdf", message="Wrong.")], "locked with a password"),
        ([FILE, SENT, LOCKED, told("reading"), told("ready", pages=1)], "1 page"),
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
        (0, "offline", False),
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


def test_events_are_read_however_their_text_is_cut(modules: Page) -> None:
    text = (
        ': hello\n\nid: 7\nevent: message\ndata: {"a":\ndata: 1}\n\n: still here\r\n\r\nid: 8\r\ndata:ä\r\n\r\ndata: un'
    )
    script = """async ([text, size]) => {
        const { EventParser } = await import("/static/event_stream.js")
        const parser = new EventParser()
        const events = []
        for (let at = 0; at < text.length; at += size) events.push(...parser.feed(text.slice(at, at + size)))
        return events
    }"""
    for size in (1, 3, 1000):
        events = modules.evaluate(script, [text, size])
        assert events == [{"id": "7", "data": '{"a":\n1}'}, {"id": "8", "data": "ä"}]


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


def test_the_hash_of_bytes_that_come_in_pieces_is_right_at_every_length(modules: Page) -> None:
    data = bytes(number * 7 % 251 for number in range(300))
    hashes = modules.evaluate(
        """async data => {
            const { Sha256 } = await import("/static/sha256.js")
            return data.map((_, size) => {
                const sha256 = new Sha256()
                for (let at = 0, step = 1; at < size; at += step, step = (step * 5) % 71) {
                    sha256.update(new Uint8Array(data.slice(at, Math.min(size, at + step))))
                }
                return sha256.end()
            })
        }""",
        list(data),
    )
    assert hashes == [hashlib.sha256(data[:size]).hexdigest() for size in range(300)]


@pytest.mark.parametrize("is_secure", [True, False], ids=["https", "http"])
def test_a_large_file_is_never_in_memory_as_a_whole_to_be_hashed(modules: Page, is_secure: bool) -> None:
    size = 20_000_000
    found, largest = modules.evaluate(
        """async ([size, isSecure]) => {
            const { sha256Of } = await import("/static/digest.js")
            const { arrayBuffer } = Blob.prototype
            let largest = 0
            Blob.prototype.arrayBuffer = function () {
                largest = Math.max(largest, this.size)
                return arrayBuffer.call(this)
            }
            if (!isSecure) Object.defineProperty(crypto, "subtle", { value: undefined, configurable: true })
            const bytes = new Uint8Array(size)
            for (let at = 0; at < size; at++) bytes[at] = at % 251
            try {
                const small = await sha256Of(new File([bytes.subarray(0, 5000)], "small.pdf"))
                return [[small, await sha256Of(new File([bytes], "large.pdf"))], largest]
            } finally {
                Blob.prototype.arrayBuffer = arrayBuffer
                delete crypto.subtle
            }
        }""",
        [size, is_secure],
    )
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert found == [hashlib.sha256(part).hexdigest() for part in (data[:5000], data)]
    assert largest <= 1024 * 1024
