"""`plain.html`, the page that others copy: it asks in the plain dialect and shows every reply as it came."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import FilePayload, expect

from tests.page.conftest import Visitor
from tests.pdfs import make_pdf


def test_it_asks_about_a_pdf_and_shows_the_reply_frame(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open("static/plain.html")
    file = tmp_path / "ferry.pdf"
    file.write_bytes(make_pdf(["Timetable.", "The last ferry leaves at nine in the evening."]))
    page.get_by_label("PDF or text file").set_input_files(file)
    page.get_by_label("Question").fill("When does the last ferry leave?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("pre")).to_contain_text("nine in the evening")
    expect(page.locator("pre")).to_contain_text('"type":')


def test_every_frame_of_an_engine_is_shown_as_text(scripted: Visitor) -> None:
    page = scripted.open("static/plain.html")
    page.get_by_label("Question").fill("untyped")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("pre")).to_contain_text('{"response": "one <img')
    expect(page.locator("pre")).to_contain_text("two")
    assert page.title() == "Another page that asks the chat server"


def test_errors_come_in_words_and_the_next_question_is_answered_on_the_same_line(scripted: Visitor) -> None:
    page = scripted.open("static/plain.html")
    sockets = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    fake = FilePayload(name="fake.pdf", mimeType="application/pdf", buffer=b"not a PDF")
    page.get_by_label("PDF or text file").set_input_files([fake])
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("pre")).to_contain_text('"not_a_pdf"')
    page.get_by_label("PDF or text file").set_input_files([])
    page.get_by_label("Question").fill("untyped")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("pre")).to_contain_text("two")
    assert len(sockets) == 1
