"""What the page does when a line breaks, and with what only a scripted server shows: holes, gaps, refusals."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.page.conftest import Visitor
from tests.page.scripted_socket import HELLO, ScriptedSocket


@pytest.fixture
def socket(visitor: Visitor) -> ScriptedSocket:
    return ScriptedSocket(visitor.page)


class Chat:
    """Frames of the conversation that the page began."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.seq = 0

    def frame(self, kind: str, **more: Any) -> dict[str, Any]:
        self.seq += 1
        return {"type": kind, "conversation": self.asked["conversation"], "turn": "t", "seq": self.seq, **more}

    def accepted(self, position: int = 0) -> dict[str, Any]:
        about = {"id": self.asked["id"], "message": self.asked["message"], "documents": []}
        return self.frame("accepted", **about, position=position)

    def delta(self, text: str) -> dict[str, Any]:
        return self.frame("delta", text=text)

    def done(self, text: str) -> dict[str, Any]:
        return self.frame("done", message_id=1, text=text, html=f"<p>{text}</p>", sources=[])


def test_after_a_break_the_page_goes_on_from_the_last_event_it_saw(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.delta("Ada "))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada")
    socket.hang_up()
    resume = socket.wait_for("resume", lines=2)
    assert (resume["conversation"], resume["after"]) == (chat.asked["conversation"], 2)
    assert socket.heard("ask") == []
    again = chat.frame("delta", text="Ada ") | {"seq": 2}
    chat.seq = 2
    socket.say(again, chat.delta("Love"), chat.delta("lace."))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada Lovelace.")
    socket.say(chat.done("Ada Lovelace."))
    visitor.wait_until("done")
    expect(visitor.page.locator(".turn")).to_have_count(1)


def test_a_question_that_was_not_confirmed_is_sent_again_under_its_id(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.ask("Who?")
    first = socket.wait_for("ask")
    socket.refuses = 1012
    socket.hang_up()
    expect(visitor.turn().locator(".status")).to_contain_text("Not confirmed yet")
    visitor.ask("And where?")
    expect(visitor.turn().locator(".status")).to_contain_text("Not sent yet")
    socket.refuses = None
    socket.wait_until(lambda: len(socket.heard("ask")) == 2)
    again, second = socket.heard("ask")
    assert again == first
    assert second["message"] == "And where?"


def test_unsent_questions_are_there_after_a_reload_and_go_out_then(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.open()
    visitor.ask("Confirmed?")
    lost = socket.wait_for("ask")
    socket.refuses = 1012
    socket.hang_up()
    expect(visitor.turn().locator(".status")).to_contain_text("Not confirmed yet")
    visitor.ask("Typed while away")
    visitor.ask("Thought better of it")
    visitor.turn().get_by_role("button", name="Do not ask").click()
    page.reload()
    expect(page.locator(".turn .question-text")).to_have_text(["Confirmed?", "Typed while away"])
    expect(page.locator(".turn .status")).to_have_text([re.compile("Not confirmed yet"), re.compile("Not sent yet")])
    socket.refuses = None
    socket.wait_until(lambda: len(socket.heard("ask")) == 2)
    assert socket.heard("ask")[0] == lost
    assert socket.heard("ask")[1]["conversation"] == lost["conversation"]
    chat = Chat(lost)
    socket.say(chat.accepted(), chat.done("Yes."))
    visitor.wait_until("done", 0)


def test_somebody_else_in_the_same_tab_does_not_see_what_was_not_sent(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.open()
    socket.say({**HELLO, "user": {"name": "alice", "guest": False}})
    expect(page.locator("#speaker")).to_have_text("alice")
    socket.refuses = 1012
    socket.hang_up()
    expect(page.locator("#connection")).not_to_have_text("Connected")
    visitor.ask("A secret of Alice's")
    page.reload()
    socket.refuses = None
    visitor.wait_until_connected()
    expect(page.locator("#speaker")).to_have_text("Guest")
    expect(page.locator(".turn")).to_have_count(0)
    assert page.evaluate("JSON.stringify(sessionStorage)").count("secret") == 0
    assert socket.heard("ask") == []


def test_a_hole_is_repaired_before_anything_behind_it_is_shown(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    accepted, first, missing, last = chat.accepted(), chat.delta("Ada "), chat.delta("Love"), chat.delta("lace.")
    socket.say(accepted, first, last, last)
    assert socket.wait_for("resume")["after"] == 2
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada")
    socket.say(missing, last)
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada Lovelace.")
    assert len(socket.heard("resume")) == 1


def test_where_the_log_has_a_gap_the_messages_are_fetched(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.page
    said = [
        {"id": 1, "role": "user", "content": "Long ago?", "turn": "o", "files": ["old.pdf"]},
        {"id": 2, "role": "assistant", "content": "Yes.", "turn": "o", "html": "<p><em>Yes.</em></p>", "sources": []},
    ]
    tries: list[str] = []

    def answer(route: Route) -> None:
        tries.append(route.request.url)
        if len(tries) == 1:
            route.fulfill(status=502, body="a proxy's page")
        else:
            route.fulfill(body=json.dumps({"head": 41, "messages": said}), content_type="application/json")

    page.route("**/api/session/mine/messages/", answer)
    page.goto(visitor.url + "#mine")
    resume = socket.wait_for("resume")
    assert (resume["conversation"], resume["after"]) == ("mine", 0)
    chat = Chat({"conversation": "mine", "id": "q", "message": "And now?"})
    chat.seq = 41
    socket.say({"type": "gap", "conversation": "mine", "head": 41}, chat.accepted(), chat.delta("Still so."))
    expect(page.locator(".question-text")).to_have_text(["Long ago?", "And now?"])
    expect(page.locator(".answer-text")).to_have_text(["Yes.", "Still so."])
    expect(visitor.turn(0).locator("em")).to_have_text("Yes.")
    expect(visitor.turn(0).locator(".about")).to_have_text("old.pdf")
    assert len(tries) == 2
    visitor.errors = [error for error in visitor.errors if "502" not in error]


def test_an_answer_that_is_given_again_replaces_what_there_was_of_it(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.delta("Half an ans"))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Half an ans")
    socket.say(chat.frame("reset", attempt=2))
    expect(visitor.turn().locator(".answer-text")).to_have_text("")
    expect(visitor.turn().locator(".status")).to_contain_text("is being given again")
    socket.say(chat.delta("Whole."), chat.done("Whole."))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Whole.")


def test_a_question_that_came_too_soon_is_asked_again_by_itself(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.ask("Who?")
    asked = socket.wait_for("ask")
    about = {"id": asked["id"], "message": "Too many questions.", "retry_after": 0.5}
    socket.say({"type": "error", "code": "rate_limited", **about})
    expect(visitor.turn().locator(".status")).to_contain_text("Will be asked in a moment")
    socket.wait_until(lambda: len(socket.heard("ask")) == 2)
    assert socket.heard("ask") == [asked, asked]


def test_questions_behind_one_that_came_too_soon_do_not_blame_the_connection(
    visitor: Visitor, socket: ScriptedSocket
) -> None:
    page = visitor.open()
    visitor.ask("Who?")
    first = socket.wait_for("ask")
    about = {"id": first["id"], "message": "Too many questions.", "retry_after": 5}
    socket.say({"type": "error", "code": "rate_limited", **about})
    expect(visitor.turn().locator(".status")).to_contain_text("Will be asked in a moment")
    visitor.ask("And where?")
    visitor.ask("And when?")
    expect(page.locator(".turn .status")).to_have_text([re.compile("Will be asked in a moment")] * 3)
    socket.wait_until(lambda: len(socket.heard("ask")) == 4)
    assert [ask["message"] for ask in socket.heard("ask")] == ["Who?", "Who?", "And where?", "And when?"]


def test_a_question_behind_one_that_waits_for_its_file_says_so(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.frame("error", code="engine_error", message="It failed."))
    visitor.wait_until("failed")
    visitor.pick(("big.pdf", bytes(number % 251 for number in range(300_000))))
    visitor.ask("What is in it?")
    page.get_by_role("button", name="Ask again").click()
    waiting = ["Will be asked when big.pdf has been read.", "Will be asked after the question before it."]
    expect(page.locator(".turn .status")).to_have_text(waiting)


def test_stop_while_the_line_is_down_holds_when_it_is_back(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.delta("A"))
    expect(visitor.turn().locator(".answer-text")).to_have_text("A")
    socket.refuses = 1012
    socket.hang_up()
    page.get_by_role("button", name="Stop").click()
    expect(visitor.turn().locator(".status")).to_have_text("Will be stopped when the connection is back.")
    socket.refuses = None
    assert socket.wait_for("cancel")["turn"] == "t"
    socket.say(chat.frame("cancelled"))
    visitor.wait_until("cancelled")


def test_a_conversation_that_is_not_there_is_said_so(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.page
    page.goto(visitor.url + "#nobodys")
    resume = socket.wait_for("resume")
    socket.say({"type": "error", "code": "not_found", "message": "There is no such thing.", "id": resume["id"]})
    expect(page.locator("#notice")).to_contain_text("This conversation is not there")
    expect(page.locator("#welcome")).to_be_visible()
    assert page.evaluate("location.hash") == ""


INTERNAL = {"type": "error", "code": "internal", "message": "Something went wrong on our side. Please try again."}


@pytest.mark.parametrize("code", ["internal", "busy", "rate_limited"])
def test_a_conversation_that_cannot_be_told_now_is_asked_for_again(
    visitor: Visitor, socket: ScriptedSocket, code: str
) -> None:
    page = visitor.page
    page.goto(visitor.url + "#mine")
    chat = Chat({"conversation": "mine", "id": "q", "message": "Who?"})
    for tries in range(1, 4):
        socket.wait_for("resume", count=tries)
        socket.say(INTERNAL | {"code": code, "id": socket.heard("resume")[-1]["id"]})
        page.wait_for_timeout(100)
        expect(page.locator("#opening")).to_be_visible()
    socket.wait_for("resume", count=4)
    socket.say(chat.accepted(), chat.done("Ada."))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada.")
    expect(page.locator("#opening")).to_be_hidden()
    expect(page.locator("#notice")).to_be_hidden()
    assert page.evaluate("location.hash") == "#mine"


def test_a_conversation_that_cannot_be_told_for_longer_is_not_taken_for_an_empty_one(
    visitor: Visitor, socket: ScriptedSocket
) -> None:
    page = visitor.page
    page.goto(visitor.url + "#mine")
    resume = socket.wait_for("resume")
    socket.say(INTERNAL | {"id": resume["id"], "retry_after": 2.5})
    page.wait_for_timeout(2_000)
    expect(page.locator("#opening")).to_be_visible()
    expect(page.locator("#welcome")).to_be_hidden()
    socket.wait_for("resume", count=2)
    expect(page.locator("#welcome")).to_be_visible()  # nothing came and nothing was refused: it is empty


def test_nothing_is_lost_when_a_conversation_cannot_be_told_after_a_break(
    visitor: Visitor, socket: ScriptedSocket
) -> None:
    page = visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.delta("Ada "))
    expect(visitor.turn().locator(".answer-text")).to_have_text("Ada")
    address = page.url
    socket.refuses = 1012
    socket.hang_up()
    visitor.ask("And where?")
    socket.refuses = None
    resume = socket.wait_for("resume", lines=2)
    socket.say(INTERNAL | {"id": resume["id"]})
    socket.wait_for("resume", count=2)
    assert socket.heard("resume")[1]["after"] == 2
    socket.say(INTERNAL | {"conversation": chat.asked["conversation"]})  # told, and then not any more
    socket.wait_for("resume", count=3)
    socket.say(chat.done("Ada Lovelace."))
    expect(visitor.turn(0).locator(".answer-text")).to_have_text("Ada Lovelace.")
    expect(page.locator(".question-text")).to_have_text(["Who?", "And where?"])
    expect(page.locator("#notice")).to_be_hidden()
    assert page.url == address


def test_a_conversation_that_was_deleted_is_taken_away(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.open()
    visitor.ask("Who?")
    chat = Chat(socket.wait_for("ask"))
    socket.say(chat.accepted(), chat.done("Ada."))
    visitor.wait_until("done")
    socket.say(INTERNAL | {"code": "not_found", "conversation": chat.asked["conversation"]})
    expect(page.locator("#notice")).to_have_text("This conversation was deleted.")
    expect(page.locator(".turn")).to_have_count(0)


def test_a_line_that_does_not_answer_is_taken_for_dead(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.page
    page.clock.install()
    visitor.open()
    socket.answers_pings = False
    page.clock.run_for(26_000)
    socket.wait_for("ping")
    assert len(socket.lines) == 1
    page.clock.run_for(11_000)
    page.clock.run_for(1_000)
    socket.wait_until(lambda: len(socket.lines) == 2)
    visitor.wait_until_connected()


@pytest.mark.parametrize("event", ["online", "visibilitychange"])
def test_coming_back_does_not_wait_for_the_rest_of_a_pause(
    visitor: Visitor, socket: ScriptedSocket, event: str
) -> None:
    page = visitor.page
    page.clock.install()
    visitor.open()
    socket.refuses = 4429  # after which a page waits long
    socket.hang_up(4429)
    expect(page.locator("#connection")).to_have_text("Not connected")
    socket.refuses = None
    page.evaluate(f"(event => {{ window.dispatchEvent(event); document.dispatchEvent(event) }})(new Event('{event}'))")
    visitor.wait_until_connected()
    assert len(socket.lines) == 2


def test_coming_back_finds_a_line_that_died_in_the_meantime(visitor: Visitor, socket: ScriptedSocket) -> None:
    page = visitor.page
    page.clock.install()
    visitor.open()
    socket.answers_pings = False
    page.evaluate("window.dispatchEvent(new Event('online'))")
    socket.wait_for("ping")
    page.clock.run_for(5_000)
    page.clock.run_for(1_000)
    socket.wait_until(lambda: len(socket.lines) == 2)


def test_a_file_goes_on_from_where_the_server_stands(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    content = bytes(number * 7 % 251 for number in range(700_000))
    visitor.pick(("big.pdf", content))
    first = socket.wait_for("upload")
    assert (first["name"], first["size"], len(first["sha256"])) == ("big.pdf", 700_000, 64)
    document = {"id": "d", "name": "big.pdf", "pages": None, "characters": None, "sha256": None, "status": "receiving"}
    socket.say({"type": "document", "id": first["id"], "document": document})
    assert socket.pieces() == []
    progress = {"type": "progress", "stage": "upload", "id": first["id"], "total": 700_000}
    socket.say(progress | {"done": 0})
    socket.wait_until(lambda: sum(map(len, socket.pieces())) == 512 * 1024)  # and the rest when some of it is there
    socket.say(progress | {"done": 300_000})
    socket.wait_until(lambda: sum(map(len, socket.pieces())) == 700_000)
    assert b"".join(socket.pieces()) == content
    expect(visitor.chip("big.pdf")).to_contain_text("sending, 42 %")
    socket.hang_up()
    assert socket.wait_for("upload", lines=2) == first
    expect(visitor.chip("big.pdf")).to_contain_text("waiting to be sent")
    socket.say(progress | {"done": 362_144})
    socket.wait_until(lambda: sum(map(len, socket.pieces())) == 700_000 - 362_144)
    assert b"".join(socket.pieces()) == content[362_144:]
    socket.say(progress | {"done": 700_000})
    expect(visitor.chip("big.pdf")).to_contain_text("reading")
    ready = document | {"status": "ready", "pages": 3}
    socket.say({"type": "document", "id": first["id"], "document": ready})
    expect(visitor.chip("big.pdf")).to_contain_text("3 pages")


def test_a_file_goes_on_after_a_reload_and_so_does_the_question_about_it(
    visitor: Visitor, socket: ScriptedSocket
) -> None:
    page = visitor.open()
    content = bytes(number % 251 for number in range(300_000))
    visitor.pick(("big.pdf", content))
    first = socket.wait_for("upload")
    visitor.ask("What is in it?")
    expect(visitor.turn().locator(".status")).to_have_text("Will be asked when big.pdf has been read.")
    page.reload()
    assert socket.wait_for("upload", lines=2) == first
    progress = {"type": "progress", "id": first["id"]}
    socket.say(progress | {"stage": "upload", "done": 100_000, "total": 300_000})
    socket.wait_until(lambda: sum(map(len, socket.pieces())) == 200_000)
    assert b"".join(socket.pieces()) == content[100_000:]
    assert socket.heard("ask") == []
    socket.say(progress | {"stage": "upload", "done": 300_000, "total": 300_000})
    socket.say(progress | {"stage": "extract", "done": 1, "total": 9, "document": "d"})
    assert socket.wait_for("ask")["documents"] == ["d"]


def test_files_are_sent_one_after_the_other(visitor: Visitor, socket: ScriptedSocket) -> None:
    visitor.open()
    visitor.pick(("a.txt", b"first"), ("b.txt", b"second"))
    first = socket.wait_for("upload")
    socket.say({"type": "progress", "stage": "upload", "id": first["id"], "done": 0, "total": 5})
    socket.wait_until(lambda: socket.pieces() == [b"first"])
    assert len(socket.heard("upload")) == 1
    socket.say({"type": "progress", "stage": "upload", "id": first["id"], "done": 5, "total": 5})
    socket.wait_until(lambda: len(socket.heard("upload")) == 2)
    second = socket.heard("upload")[1]
    socket.say({"type": "error", "code": "busy", "message": "Another page sends this.", "id": second["id"]})
    expect(visitor.chip("b.txt")).to_contain_text("Another page sends this.")
    visitor.chip("b.txt").get_by_role("button", name="Try again").click()
    socket.wait_until(lambda: len(socket.heard("upload")) == 3)
    assert socket.heard("upload")[2] == second
