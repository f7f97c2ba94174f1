"""What goes wrong is said in words, and the person can go on: refused files, failed answers, a server that is gone."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from playwright.sync_api import BrowserContext, expect
from PyPDF2 import PdfReader, PdfWriter

from miva.documents.refusal import LOCKED_FOR_GOOD
from tests.page.conftest import Visitor
from tests.page.scripted_engine import ScriptedEngine
from tests.pdfs import make_pdf
from tests.product import ROOT

HOSTILE_PDFS = ROOT.parent / "shared" / "pdfs" / "hostile"
LOCKED_WITH_A_CERTIFICATE = ROOT.parent / "shared" / "pdfs" / "corpus" / "pdfbox__b97e2b7545a5.pdf"


def locked(content: bytes, password: str) -> bytes:
    writer = PdfWriter()
    for page in PdfReader(BytesIO(content)).pages:
        writer.add_page(page)
    writer.encrypt(password)
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def test_a_file_that_is_no_pdf_is_refused_in_words(visitor: Visitor) -> None:
    visitor.open()
    visitor.drop(("fake.pdf", b"just some words, no PDF at all"))
    expect(visitor.chip("fake.pdf")).to_have_attribute("data-status", "failed")
    expect(visitor.chip("fake.pdf").locator(".chip-words")).to_contain_text("not a PDF")


def test_other_kinds_of_files_are_not_even_sent(visitor: Visitor) -> None:
    page = visitor.open()
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    visitor.drop(("holiday.jpg", b"\xff\xd8\xff\xe0 a picture"), ("nothing.pdf", b""))
    expect(visitor.chip("holiday.jpg")).to_contain_text("Only PDF and plain text files can be read.")
    expect(visitor.chip("nothing.pdf")).to_contain_text("This file is empty.")
    assert sent == []


def test_a_locked_pdf_is_opened_with_its_password(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("vault.pdf", locked(make_pdf(["The treasure lies under the old pear tree."]), "open sesame")))
    visitor.ask("Where does the treasure lie?")
    expect(visitor.turn().locator(".status")).to_have_text("Waits for the password of vault.pdf.")
    field = page.get_by_label("Password of vault.pdf")
    field.fill("wrong")
    field.press("Enter")
    expect(visitor.chip("vault.pdf")).to_contain_text("That password does not open it.")
    page.get_by_label("Password of vault.pdf").fill("open sesame")
    page.get_by_role("button", name="Open").click()
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("pear tree")


@pytest.mark.skipif(not HOSTILE_PDFS.is_dir(), reason="the collection of hostile PDFs is not on this machine")
@pytest.mark.parametrize("name", ["bomb_flate2_3GB.pdf", "pages_cycle.pdf", "nest_pagedict.pdf"])
def test_a_hostile_pdf_ends_in_words_and_the_chat_goes_on(visitor: Visitor, name: str) -> None:
    visitor.open()
    visitor.pick((name, (HOSTILE_PDFS / name).read_bytes()))
    chip = visitor.chip(name)
    expect(chip).to_have_attribute("data-status", re.compile("failed|ready"), timeout=90_000)
    assert chip.locator(".chip-words").inner_text().strip() != ""
    visitor.drop(("good.pdf", make_pdf(["The baker of the village is Ann Marlow."])))
    visitor.ask("Who is the baker of the village?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Ann Marlow")


def test_a_question_about_a_file_that_could_not_be_read_is_not_asked_without_saying_so(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Your question").fill("What is inside this PDF?")
    page.evaluate(  # asked before anything can be said about the file
        """() => {
            const dataTransfer = new DataTransfer()
            dataTransfer.items.add(new File(["no PDF"], "fake.pdf"))
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }))
            document.querySelector("#composer").requestSubmit()
        }"""
    )
    visitor.wait_until("failed")
    expect(visitor.turn().locator(".status")).to_have_text(
        "This was not asked, because fake.pdf could not be read. This file is not a PDF, whatever its name says."
    )
    page.get_by_role("button", name="Ask again").click()
    visitor.wait_until("done")
    expect(page.locator(".turn")).to_have_count(1)


@pytest.mark.skipif(not LOCKED_WITH_A_CERTIFICATE.is_file(), reason="the collection of PDFs is not on this machine")
@pytest.mark.parametrize("way", ["socket", "form"])
def test_a_pdf_that_no_password_opens_says_so_and_asks_for_none(visitor: Visitor, way: str) -> None:
    page = visitor.page
    if way == "form":
        page.add_init_script("sessionStorage.setItem('miva.cut', '1')")
        page.route_web_socket("**/ws/chat/", lambda socket: None)
    visitor.open()
    visitor.pick(("certificate.pdf", LOCKED_WITH_A_CERTIFICATE.read_bytes()))
    expect(visitor.chip("certificate.pdf")).to_contain_text(LOCKED_FOR_GOOD)
    expect(page.locator("input[type=password]")).to_have_count(0)


def test_a_text_file_of_blanks_is_not_said_to_hold_pictures(visitor: Visitor) -> None:
    visitor.open()
    visitor.drop(("blank.txt", b" \n\n "))
    expect(visitor.chip("blank.txt")).to_contain_text("There is nothing but white space in this file.")


def test_a_question_about_several_files_names_all_that_could_not_be_read(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Your question").fill("What is inside these?")
    page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer()
            for (const name of ["one.pdf", "two.pdf"]) dataTransfer.items.add(new File([`no PDF: ${name}`], name))
            dataTransfer.items.add(new File(["A good one about tea."], "good.txt"))
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }))
            document.querySelector("#composer").requestSubmit()
        }"""
    )
    visitor.wait_until("failed")
    why = "This file is not a PDF, whatever its name says."
    words = f"This was not asked, because 2 files could not be read.\none.pdf: {why}\ntwo.pdf: {why}"
    assert visitor.turn().locator(".status").inner_text() == words


def test_files_that_could_not_be_read_leave_the_shelf_once_a_question_is_asked(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(*[(f"fake{number}.pdf", f"no PDF {number}".encode()) for number in range(7)])
    visitor.drop(("good.txt", b"The baker of the village is Ann Marlow."))
    expect(page.locator(".chip[data-status=failed]")).to_have_count(7)
    expect(visitor.chip("good.txt")).to_contain_text("1 page")
    visitor.ask("Who is the baker of the village?")
    visitor.wait_until("done")
    expect(page.locator(".chip-name")).to_have_text(["good.txt"])
    summary = page.get_by_text("7 files could not be read")
    page.reload()
    expect(page.locator(".chip-name")).to_have_text(["good.txt"])
    summary.click()
    expect(page.locator("#unread li")).to_have_count(7)
    expect(page.locator("#unread li").first).to_have_text("fake0.pdf This file is not a PDF, whatever its name says.")
    page.get_by_role("button", name="Remove all").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#unread")).to_be_hidden()
    expect(page.get_by_label("Your question")).to_be_focused()
    visitor.drop(("late.pdf", b"no PDF either"))
    expect(visitor.chip("late.pdf")).to_have_attribute("data-status", "failed")


def test_an_engines_failure_is_told_and_the_question_can_be_asked_again(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("broken")
    scripted.wait_until("failed")
    assert scripted.turn().locator(".status").inner_text().strip() != ""
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".turn")).to_have_count(1)
    scripted.wait_until("failed")


def test_a_device_that_goes_offline_is_said_to_be_at_once(visitor: Visitor, context: BrowserContext) -> None:
    page = visitor.open()
    context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("Not connected", timeout=2_000)
    expect(page.locator("#banner")).to_contain_text("This device is offline.")
    context.set_offline(False)
    visitor.wait_until_connected()
    expect(page.locator("#banner")).to_be_hidden()


def test_stop_ends_the_answer_here_and_at_the_engine(scripted: Visitor, scripted_engine: ScriptedEngine) -> None:
    page = scripted.open()
    scripted_engine.cancelled.clear()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    scripted.ask("endless")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word5")
    page.get_by_role("button", name="Stop").click()
    scripted.wait_until("cancelled")
    expect(scripted.turn().locator(".status")).to_have_text("Stopped.")
    assert scripted_engine.cancelled.wait(10)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_question_that_is_too_long_stays_in_the_field_with_the_reason(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Your question").fill("x" * 100_001)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("100,001 characters, but only 100,000 fit")
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_label("Your question").fill("short")
    expect(page.get_by_role("alert")).to_be_hidden()
