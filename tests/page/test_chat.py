"""A person asks about a PDF and reads the answer, in a real browser against the running product."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.page.conftest import Visitor
from tests.pdfs import make_pdf
from tests.product import Product

LIGHTHOUSE = make_pdf(
    [
        "The history of the Northern Lighthouse. This report was written by the harbour board.",
        "The lighthouse keeper was Margaret Ellison. She lit the lamp for thirty-one years.",
        "The tower is forty-two metres high. It is built of granite from the island.",
    ],
    title="The Northern Lighthouse",
)


class SlowLine:
    """The page's connection to the real server; what comes from there can be held back."""

    def __init__(self, page: Page) -> None:
        self.is_held = False
        self._held: list[str | bytes] = []
        page.route_web_socket("**/ws/chat/", self._join)

    def let_go(self) -> None:
        """Hands over what was held back, and all that comes from now on."""
        self.is_held = False
        for message in self._held:
            self._socket.send(message)

    def _join(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.connect_to_server().on_message(self._from_server)

    def _from_server(self, message: str | bytes) -> None:
        if self.is_held:
            self._held.append(message)
        else:
            self._socket.send(message)


def test_a_dropped_pdf_is_read_asked_about_and_answered_with_its_page(visitor: Visitor) -> None:
    page = visitor.open()
    expect(page.get_by_text("Drop a PDF, then ask it anything")).to_be_visible()
    visitor.drop(("lighthouse.pdf", LIGHTHOUSE))
    expect(visitor.chip("lighthouse.pdf")).to_contain_text("3 pages")
    visitor.ask("Who was the keeper of the lighthouse?")
    expect(visitor.turn().locator(".question-text")).to_have_text("Who was the keeper of the lighthouse?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Margaret Ellison")
    source = visitor.turn().locator(".sources li", has_text="Margaret Ellison").first
    expect(source).to_contain_text("lighthouse.pdf")
    expect(source.locator(".source-page")).to_have_text("page 2")
    expect(page.get_by_text("Drop a PDF, then ask it anything")).to_be_hidden()


def test_the_example_question_is_answered_for_a_picked_file(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.pick(("lighthouse.pdf", LIGHTHOUSE))
    page.get_by_role("button", name="What is inside this PDF?").click()
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.press("Enter")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Northern Lighthouse")


def test_a_question_typed_while_a_file_is_still_read_is_asked_when_it_is_ready(visitor: Visitor) -> None:
    line = SlowLine(visitor.page)
    visitor.open()
    line.is_held = True
    pages = [f"Chapter {number}. The harbour has {number} boats." for number in range(1, 1500)]
    visitor.drop(("boats.pdf", make_pdf(["The harbour master is Tobias Wren.", *pages])))
    visitor.ask("Who is the harbour master?")
    expect(visitor.turn().locator(".status")).to_have_text("Will be asked when boats.pdf has been read.")
    line.let_go()
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Tobias Wren")
    expect(visitor.chip("boats.pdf")).to_contain_text("1,500 pages")


def test_reading_is_told_page_by_page(visitor: Visitor) -> None:
    visitor.open("?debug")
    visitor.drop(("book.pdf", make_pdf([f"Page {number} of a long book." for number in range(1, 413)])))
    expect(visitor.chip("book.pdf")).to_contain_text("412 pages")
    stages = [line for line in visitor.console if line.startswith('← {"type":"progress","stage":"extract"')]
    assert any('"total":412' in line for line in stages)


def test_several_files_and_a_text_file_are_asked_about_together(visitor: Visitor) -> None:
    page = visitor.open()
    notes = b"The gardener of the island is called Ruth Abara.\n"
    visitor.drop(("lighthouse.pdf", LIGHTHOUSE), ("notes.txt", notes))
    visitor.ask("Who is the gardener of the island?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".about li")).to_have_count(2)
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Ruth Abara")
    visitor.chip("notes.txt").get_by_role("button", name="Remove notes.txt").click()
    expect(page.locator(".chip")).to_have_count(1)
    visitor.ask("How high is the tower?")
    visitor.wait_until("done", 1)
    expect(visitor.turn().locator(".about li")).to_have_text(["lighthouse.pdf"])
    expect(visitor.turn().locator(".answer-text")).to_contain_text("forty-two metres")


@pytest.mark.parametrize("way", ["socket", "form"])
def test_the_same_file_once_more_is_here_already_and_another_of_its_name_is_not(visitor: Visitor, way: str) -> None:
    page = visitor.page
    if way == "form":
        page.add_init_script("sessionStorage.setItem('miva.cut', '1')")
        page.route_web_socket("**/ws/chat/", lambda socket: None)
    visitor.open()
    visitor.drop(("tea.txt", b"Ilam."), ("tea.txt", b"Ilam."))
    expect(page.locator("#notice")).to_have_text("tea.txt is here already.")
    expect(page.locator(".chip")).to_have_count(1)
    expect(visitor.chip("tea.txt")).to_contain_text("1 page")
    visitor.ask("Where?")
    expect(page.locator("#notice")).to_be_hidden()
    visitor.drop(("tea.txt", b"Ilam."))
    expect(page.locator("#notice")).to_have_text("tea.txt is here already.")
    visitor.drop(("tea.txt", b"Assam"))
    expect(page.locator(".chip")).to_have_count(2)


def test_enter_sends_and_shift_enter_breaks_the_line(scripted: Visitor) -> None:
    page = scripted.open()
    field = page.get_by_label("Your question")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    field.press_sequentially("first")
    field.press("Shift+Enter")
    field.press_sequentially("second")
    expect(page.locator(".turn")).to_have_count(0)
    field.press("Enter")
    expect(field).to_have_value("")
    scripted.wait_until("done")
    assert scripted.turn().locator(".question-text").inner_text() == "first\nsecond"


def test_a_second_question_waits_for_the_first_and_a_new_chat_is_empty(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("endless")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    scripted.ask("and then?")
    scripted.wait_until("queued", 1)
    page.get_by_role("button", name="Stop").click()
    scripted.wait_until("cancelled", 0)
    scripted.wait_until("done", 1)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()


def test_the_reader_is_not_pulled_to_the_end_while_reading_further_up(scripted: Visitor) -> None:
    page = scripted.open()
    page.set_viewport_size({"width": 500, "height": 330})
    scripted.ask("endless")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word40")
    assert page.locator("#scroller").evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") <= 48
    page.locator("#scroller").evaluate("box => { box.scrollTop = 0 }")
    expect(page.get_by_role("button", name="Newest")).to_be_visible()
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word90")
    assert page.locator("#scroller").evaluate("box => box.scrollTop") == 0
    page.get_by_role("button", name="Newest").click()
    expect(page.get_by_role("button", name="Newest")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    scripted.wait_until("cancelled")


def test_however_little_the_reader_goes_up_the_end_is_let_go_of_until_they_come_back(scripted: Visitor) -> None:
    page = scripted.open()
    page.set_viewport_size({"width": 500, "height": 330})
    scripted.ask("endless")
    box, newest = page.locator("#scroller"), page.get_by_role("button", name="Newest")
    while box.evaluate("box => box.scrollHeight - box.clientHeight") < 60:
        page.wait_for_timeout(20)
    box.evaluate("box => { box.scrollTop -= 12 }")
    expect(newest).to_be_visible()
    place = box.evaluate("box => box.scrollTop")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word90")
    assert box.evaluate("box => box.scrollTop") == place
    box.evaluate("box => { box.scrollTop = box.scrollHeight - box.clientHeight - 12 }")
    expect(newest).to_be_hidden()
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word120")
    assert box.evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") <= 1
    page.get_by_role("button", name="Stop").click()
    scripted.wait_until("cancelled")


def test_a_finished_answer_is_shown_from_its_question_on_however_long_its_sources_are(visitor: Visitor) -> None:
    page = visitor.open()
    page.set_viewport_size({"width": 700, "height": 680})
    chapters = [f"Chapter {number}. The pier of harbour {number} is very long." for number in range(1, 9)]
    visitor.drop(("harbours.pdf", make_pdf(chapters, title="Harbours")))
    for number in range(2):
        visitor.ask("What is inside this PDF?")
        visitor.wait_until("done", number)
        expect(visitor.turn(number).locator(".question")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Newest")).to_be_visible()


def test_the_console_says_two_lines_and_nothing_else(visitor: Visitor) -> None:
    visitor.open()
    visitor.drop(("lighthouse.pdf", LIGHTHOUSE))
    visitor.ask("How high is the tower?")
    visitor.wait_until("done")
    address = visitor.url.replace("http://", "ws://") + "ws/chat/"
    assert visitor.console == ["WebSocket connection established", f"Connected to: {address}"]


def test_debug_shows_every_frame_with_long_strings_shortened(scripted: Visitor) -> None:
    scripted.open("?debug")
    scripted.ask("say " + "long " * 400)
    scripted.wait_until("done")
    frames = [line for line in scripted.console if line[0] in "←→"]
    assert frames[0].startswith('← {"type":"hello"')
    assert any(line.startswith('→ {"type":"ask"') and "characters)" in line for line in frames)
    assert any(line.startswith('← {"type":"done"') for line in frames)
    assert max(map(len, frames)) < 1000


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, product: Product) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True)
    visitor = Visitor(context.new_page(), product.url)
    page = visitor.open()
    visitor.pick(("a_rather_long_name_of_a_file_without_any_blank_in_it_2019_final_version.pdf", LIGHTHOUSE))
    visitor.ask("Who was the keeper? " + "x" * 300)
    visitor.wait_until("done")
    for box in ("document.documentElement", "document.getElementById('scroller')"):
        assert page.evaluate(f"{box}.scrollWidth - {box}.clientWidth") == 0
    context.close()


def test_all_of_the_page_can_be_used_from_the_keyboard_and_is_named(scripted: Visitor) -> None:
    page = scripted.open()
    expect(page.get_by_label("Your question")).to_be_focused()
    scripted.ask("hello")
    scripted.wait_until("done")
    expect(page.get_by_role("status")).to_contain_text("Answer: You asked: hello")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.ariaLabel"))
    assert {"New chat", "Sign in", "Sign up", "Add a PDF", "Copy answer"} <= reached
