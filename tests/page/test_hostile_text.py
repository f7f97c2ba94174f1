"""Names, questions, documents and answers that carry HTML are read as words: nothing in them runs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Visitor
from tests.page.scripted_engine import HOSTILE
from tests.pdfs import make_pdf

SCRIPT = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


def expect_harmless(page: Page) -> None:
    expect(page.locator("#transcript :is(script, iframe, style, svg, object, embed, form)")).to_have_count(0)
    expect(page.locator("#transcript [onerror], #transcript [onload], #transcript [style]")).to_have_count(0)
    expect(page.locator('#transcript [href^="javascript:"]')).to_have_count(0)
    page.wait_for_timeout(200)
    assert page.title() == "Miva: ask your PDFs"


def test_a_question_is_shown_as_it_was_typed(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask(f"echo {SCRIPT}")
    scripted.wait_until("done")
    assert scripted.turn().locator(".question-text").inner_text() == f"echo {SCRIPT}"
    expect_harmless(page)


def test_a_file_name_is_shown_as_words(visitor: Visitor) -> None:
    page = visitor.open()
    name = "<img src=x onerror=document.title='owned'>.pdf"
    visitor.drop((name, make_pdf(["A harmless page about tea."])))
    expect(page.locator(".chip-name")).to_have_text(name)
    expect(visitor.chip("onerror")).to_contain_text("1 page")
    visitor.ask("What is it about?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".about")).to_contain_text(name)
    expect_harmless(page)


def test_a_documents_text_is_quoted_as_words(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("tea.pdf", make_pdf([f"The secret of good tea is {SCRIPT} and patience."], title=SCRIPT)))
    visitor.ask("What is the secret of good tea?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".source").first).to_contain_text("onerror=document.title")
    expect_harmless(page)


@pytest.mark.parametrize("question", ["hostile", "untyped"])
def test_an_engines_html_does_nothing(scripted: Visitor, question: str) -> None:
    page = scripted.open()
    scripted.ask(question)
    scripted.wait_until("done")
    expect(scripted.turn().locator(".answer-text strong")).to_have_text("bold")
    expect_harmless(page)


def test_an_engines_source_is_shown_as_words(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("hostile")
    scripted.wait_until("done")
    for source in scripted.turn().locator(".source").all():  # none, where the relay drops what it has no document for
        expect(source).to_contain_text(HOSTILE)
    expect_harmless(page)
