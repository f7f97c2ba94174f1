"""Signing up, in and out, and what the page says about who is speaking."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.page.conftest import Visitor
from tests.pdfs import make_pdf
from tests.product import Product

PASSWORD = "lamp-oil-and-granite-7"


def sign_up(visitor: Visitor, name: str) -> None:
    page = visitor.page
    page.get_by_role("link", name="Sign up").click()
    page.locator("[name=email]").fill(f"{name}@example.org")
    page.locator("[name=username]").fill(name)
    for field in page.locator("[type=password]").all():
        field.fill(PASSWORD)
    page.locator("main [type=submit], main button").first.click()
    expect(page.locator("[name=username]")).to_have_count(0)  # else what comes next may be sooner than the account


def sign_in(visitor: Visitor, name: str) -> None:
    page = visitor.page
    page.goto(visitor.url + "accounts/login/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main [type=submit], main button").first.click()
    visitor.wait_until_connected()


@pytest.mark.parametrize("width", [1280, 375])
def test_the_logo_is_as_large_as_the_name_beside_it_on_every_page(visitor: Visitor, width: int) -> None:
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 740})
    for address in ("", "accounts/login/", "accounts/signup/", "accounts/password_reset/"):
        page.goto(visitor.url + address)
        expect(page.locator(".brand img")).to_have_js_property("complete", value=True)
        logo = page.locator(".brand img").bounding_box()
        assert logo is not None
        assert 20 <= logo["width"] == logo["height"] <= 32, address
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_alice_signs_up_signs_in_and_signs_out(visitor: Visitor) -> None:
    page = visitor.open()
    expect(page.locator("#speaker")).to_have_text("Guest")
    sign_up(visitor, "alice")
    sign_in(visitor, "alice")
    expect(page.locator("#speaker")).to_have_text("alice")
    expect(page.get_by_role("link", name="Sign in")).to_be_hidden()
    page.get_by_role("button", name="Sign out").click()
    visitor.wait_until_connected()
    expect(page.locator("#speaker")).to_have_text("Guest")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_signing_up_begins_in_the_first_field_and_goes_on_in_the_first_that_is_wrong(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(visitor.url + "accounts/signup/")
    expect(page.locator("[name=email]")).to_be_focused()
    page.locator("[name=email]").fill("greta@example.org")
    page.locator("[name=username]").fill("greta")
    page.locator("[name=password]").fill("12345678")
    page.locator("[name=password]").press("Enter")
    expect(page.locator("[name=password]")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[name=password]")).to_be_focused()


def test_what_a_guest_dropped_can_be_asked_about_after_signing_in_elsewhere(
    visitor: Visitor, context: BrowserContext, product: Product
) -> None:
    page = visitor.open()
    visitor.drop(("tea.pdf", make_pdf(["The tea comes from the hills of Ilam."])))
    expect(visitor.chip("tea.pdf")).to_contain_text("1 page")
    other = Visitor(context.new_page(), product.url)
    other.open()
    sign_up(other, "bob")
    sign_in(other, "bob")
    expect(page.locator("#speaker")).to_have_text("bob")
    expect(page.locator("#notice")).to_have_text("You are speaking as bob now.")
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Ilam")


def test_a_guest_finds_the_conversation_again_after_signing_in_and_nobody_does_after_signing_out(
    visitor: Visitor,
) -> None:
    page = visitor.open()
    visitor.drop(("tea.pdf", make_pdf(["The tea comes from the hills of Ilam."])))
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    sign_up(visitor, "frida")
    sign_in(visitor, "frida")
    expect(visitor.turn().locator(".answer-text")).to_contain_text("Ilam")
    expect(visitor.chip("tea.pdf")).to_contain_text("1 page")
    visitor.ask("Which hills?")
    visitor.wait_until("done", 1)
    address = page.url
    page.get_by_label("Your question").fill("What I had better not")
    page.get_by_role("button", name="Sign out").click()
    visitor.wait_until_connected()
    expect(page.locator("#speaker")).to_have_text("Guest")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Your question")).to_have_value("")
    assert page.url == visitor.url
    page.goto(address)
    expect(page.locator("#notice")).to_contain_text("This conversation is not there, or belongs to somebody else.")
    expect(page.locator(".turn")).to_have_count(0)


def test_signing_out_elsewhere_takes_the_conversation_off_this_page(
    visitor: Visitor, context: BrowserContext, product: Product
) -> None:
    page = visitor.open()
    sign_up(visitor, "carol")
    sign_in(visitor, "carol")
    visitor.drop(("diary.pdf", make_pdf(["Dear diary, the safe opens with 4711."])))
    visitor.ask("What opens the safe?")
    visitor.wait_until("done")
    page.get_by_label("Your question").fill("And where is the")
    other = Visitor(context.new_page(), product.url)
    other.open()
    other.page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#speaker")).to_have_text("Guest")
    visitor.wait_until_connected()
    expect(page.locator("#notice")).to_have_text("Your login has ended. You are speaking as a guest now.")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.get_by_label("Your question")).to_have_value("")
    page.reload()
    visitor.wait_until_connected()
    expect(page.get_by_label("Your question")).to_have_value("")


def test_what_was_typed_is_gone_after_signing_out_where_nothing_else_was_done(
    visitor: Visitor, context: BrowserContext
) -> None:
    visitor.open()
    sign_up(visitor, "dora")
    sign_in(visitor, "dora")
    tab = Visitor(context.new_page(), visitor.url)
    page = tab.open()
    page.get_by_label("Your question").fill("What I had better not")
    page.reload()
    tab.wait_until_connected()
    expect(page.get_by_label("Your question")).to_have_value("What I had better not")
    page.get_by_role("button", name="Sign out").click()
    tab.wait_until_connected()
    expect(page.locator("#speaker")).to_have_text("Guest")
    expect(page.get_by_label("Your question")).to_have_value("")


def test_what_was_typed_is_gone_where_the_page_hears_of_signing_out_before_it_is_loaded_again(visitor: Visitor) -> None:
    """The socket is told as soon as the login is over, which may be sooner than the browser has the next page."""
    page = visitor.open()
    sign_up(visitor, "edna")
    sign_in(visitor, "edna")
    page.get_by_label("Your question").fill("What I had better not")
    page.evaluate(
        """() => fetch('/accounts/logout/', {
            method: 'POST',
            body: new URLSearchParams(new FormData(document.querySelector('#sign-out'))),
            headers: {'X-CSRFToken': document.cookie.match(/csrftoken=([^;]*)/)[1]},
        })"""
    )
    expect(page.locator("#speaker")).to_have_text("Guest")
    page.reload()
    visitor.wait_until_connected()
    expect(page.get_by_label("Your question")).to_have_value("")


def test_where_guests_may_not_chat_a_page_whose_login_ended_asks_to_sign_in_and_looks_only_once(
    context: BrowserContext, private: Product
) -> None:
    visitor = Visitor(context.new_page(), private.url)
    page = visitor.page
    page.goto(private.url)
    sign_up(visitor, "dora")
    sign_in(visitor, "dora")
    visitor.ask("Is anybody there?")
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.url) if request.url == private.url else None)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    other = Visitor(context.new_page(), private.url)
    other.open()
    other.page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#banner")).to_contain_text("Please sign in to chat.")
    expect(page.locator("#banner").get_by_role("link", name="Sign in")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)
    page.wait_for_timeout(1500)
    assert (len(looks), len(sockets)) == (1, 1)
