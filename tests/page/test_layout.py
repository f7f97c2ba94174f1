"""How the page looks where there is little room, on paper, and without JavaScript."""

from __future__ import annotations

from typing import Any

import pypdfium2
import pytest
from playwright.sync_api import Browser, expect

from tests.page.conftest import Visitor
from tests.pdfs import make_pdf
from tests.product import Product

MASTER = "and its master is called Tobias Wren."
CHAPTERS = [f"Chapter {number}. The pier of harbour {number} is long, {MASTER}" for number in range(1, 40)]


def height(visitor: Visitor, selector: str) -> Any:
    return visitor.page.locator(selector).bounding_box()["height"]  # type: ignore[index]


@pytest.mark.parametrize(("width", "most"), [(320, 60), (480, 60), (640, 60), (1280, 60)])
def test_the_header_is_one_row(visitor: Visitor, width: int, most: int) -> None:
    page = visitor.open()
    page.set_viewport_size({"width": width, "height": 640})
    assert height(visitor, ".top") <= most
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_on_a_phone_held_sideways_most_of_the_height_is_the_conversations(visitor: Visitor) -> None:
    page = visitor.open()
    page.set_viewport_size({"width": 568, "height": 320})
    assert height(visitor, ".scroller") >= 210
    visitor.drop(("a_rather_long_name_of_a_file_2019_final_version.txt", b"The tea comes from the hills of Ilam."))
    expect(page.locator(".chip")).to_contain_text("1 page")
    expect(page.get_by_label("Your question")).to_have_attribute("placeholder", "Ask about this file")
    assert height(visitor, ".scroller") >= 180


def test_the_whole_conversation_is_printed_with_all_its_quotes(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("harbours.pdf", make_pdf(CHAPTERS, title="Harbours")))
    for number in range(3):
        visitor.ask("What is inside this PDF?")
        visitor.wait_until("done", number)
    with pypdfium2.PdfDocument(page.pdf()) as paper:
        assert len(paper) > 1
        text = "\n".join(sheet.get_textpage().get_text_range() for sheet in paper)
    assert text.count("What is inside this PDF?") == 3
    quotes = page.locator(".source-quote").all_text_contents()
    assert len(quotes) > 9
    lines = "".join(text.split())
    assert all("".join(quote.split())[-20:] in lines for quote in quotes)
    for word in ("Newchat", "Signin", "AddaPDF", "Copyanswer"):
        assert word not in lines
    expect(page.locator(".more-sources[open]")).to_have_count(0)


def test_without_javascript_nothing_is_shown_that_does_nothing(browser: Browser, product: Product) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(product.url)
    expect(page.locator(".no-script")).to_be_visible()
    for hidden in ("#connection", "#send", "#pick", "#new", "#example"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    context.close()


def test_a_source_opens_only_where_there_is_more_of_it(visitor: Visitor) -> None:
    page = visitor.open()
    long = "The keeper of the old lighthouse, a woman of few words, " + "who had seen many ships go by, " * 12
    visitor.drop(("keeper.pdf", make_pdf([f"{long}was Margaret Ellison.", "The tower is tall."])))
    visitor.ask("Who was the keeper of the old lighthouse?")
    visitor.wait_until("done")
    cut = visitor.turn().locator("details.source", has_text="Ellison").first
    expect(cut).to_be_visible()
    cut.click()
    expect(cut).to_have_attribute("open", "")
    visitor.ask("How tall is the tower?")
    visitor.wait_until("done", 1)
    short = visitor.turn().locator(".source", has_text="The tower is tall.").first
    expect(short).to_be_visible()
    assert short.evaluate("source => [source.tagName, getComputedStyle(source.firstChild).cursor]") == ["DIV", "auto"]
    page.set_viewport_size({"width": 320, "height": 640})
    assert short.evaluate("source => source.isConnected")


def test_names_and_words_that_run_from_right_to_left(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("عربي \u202egnp.txt", "الشاي يأتي من تلال إيلام.".encode()))
    name = "عربي gnp.txt"
    expect(page.locator(".chip-name")).to_have_text(name)
    expect(page.locator(".chip")).to_contain_text("1 page")
    expect(page.get_by_role("button", name=f"Remove {name}", exact=True)).to_be_visible()
    field = page.get_by_label("Your question")
    expect(field).to_have_attribute("placeholder", f"Ask about {name}")
    field.fill("من أين يأتي الشاي؟")
    assert field.evaluate("field => getComputedStyle(field).direction") == "rtl"
    field.press("Enter")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".about li")).to_have_text([name])
    for source in visitor.turn().locator(".source").all():
        expect(source.locator(".source-name")).to_have_text(name)
        assert source.locator(".source-quote").evaluate("quote => getComputedStyle(quote).direction") == "rtl"
    assert "\u202e" not in page.locator("#composer").evaluate("form => form.outerHTML")
