"""Where the keyboard is, and what a screen reader hears, when something that was pressed goes away."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.page.conftest import Visitor
from tests.page.test_trouble import locked
from tests.pdfs import make_pdf

LOCKED = locked(make_pdf(["The treasure lies under the old pear tree."]), "open sesame")
NOTE_WHAT_IS_SAID = """() => {
    window.said = []
    const announcer = document.querySelector("#announcer")
    new MutationObserver(() => window.said.push(announcer.textContent)).observe(announcer, { childList: true })
}"""


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).focus()
    page.keyboard.press("Enter")


def question(page: Page) -> Any:
    return page.get_by_label("Your question")


def test_after_stop_and_ask_again_the_keyboard_is_where_a_question_is_typed(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("endless")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    press(page, "Stop")
    expect(question(page)).to_be_focused()
    scripted.wait_until("cancelled")
    expect(question(page)).to_be_focused()
    press(page, "Ask again")
    scripted.wait_until("running")
    expect(question(page)).to_be_focused()
    page.get_by_role("button", name="Stop").click()
    scripted.wait_until("cancelled")
    expect(question(page)).to_be_focused()


def test_an_answer_that_ends_while_stop_has_the_keyboard_does_not_lose_it(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("count 20")
    page.get_by_role("button", name="Stop").focus()
    scripted.wait_until("done")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(question(page)).to_be_focused()


def test_after_newest_the_keyboard_is_where_a_question_is_typed(scripted: Visitor) -> None:
    page = scripted.open()
    page.set_viewport_size({"width": 500, "height": 330})
    scripted.ask("count 120")
    scripted.wait_until("done")
    page.locator("#scroller").evaluate("box => { box.scrollTop = 0 }")
    press(page, "↓ Newest")
    expect(page.get_by_role("button", name="Newest")).to_be_hidden()
    expect(question(page)).to_be_focused()


def test_a_finger_does_not_get_a_keyboard_over_what_it_looks_at(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("endless")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.dispatchEvent(new PointerEvent('pointerdown', { pointerType: 'touch' }))")
    page.evaluate("document.querySelector('#stop').click()")
    scripted.wait_until("cancelled")
    expect(question(page)).not_to_be_focused()


def test_a_wrong_password_leaves_the_keyboard_in_its_field_and_is_told(visitor: Visitor) -> None:
    page = visitor.open()
    page.evaluate(NOTE_WHAT_IS_SAID)
    visitor.drop(("vault.pdf", LOCKED))
    field = page.get_by_label("Password of vault.pdf")
    expect(field).to_have_attribute("aria-invalid", "false")
    field.fill("wrong")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description("That password does not open it.")
    field.fill("wrong again")
    press(page, "Open")
    expect(page.get_by_role("status")).to_have_text("vault.pdf: That password does not open it.")
    expect(field).to_be_focused()
    said = page.evaluate("window.said")
    assert said == ["vault.pdf: locked with a password"] + 2 * [
        "vault.pdf: trying the password",
        "vault.pdf: That password does not open it.",
    ]
    field.fill("open sesame")
    press(page, "Open")
    expect(visitor.chip("vault.pdf")).to_contain_text("1 page")
    expect(question(page)).to_be_focused()


def test_taking_files_off_goes_from_one_to_the_next(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("a.txt", b"A boat."), ("b.txt", b"A bell."), ("c.txt", b"A book."))
    for name in "abc":
        expect(visitor.chip(f"{name}.txt")).to_contain_text("1 page")
    press(page, "Remove b.txt")
    expect(page.get_by_role("button", name="Remove c.txt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question(page)).to_be_focused()
    expect(page.locator(".chip-name")).to_have_text(["a.txt"])
