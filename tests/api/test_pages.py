"""The rendered pages: the chat, those of an account, and the headers that all of them carry."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient, Client

from miva import accounts, identity
from miva.models import Owner, User
from tests.api.conftest import PASSWORD

pytestmark = pytest.mark.django_db
Mails = Callable[..., list[Any]]


@pytest.fixture
def browser() -> Client:
    """A browser that has been nowhere yet."""
    return Client()


def test_the_chat_makes_a_visitor_a_guest_with_cookies_of_their_own(browser: Client) -> None:
    response = browser.get("/")
    assert response.status_code == 200
    session, csrf = response.cookies["sessionid"], response.cookies["csrftoken"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert csrf["samesite"] == "Lax"
    assert "no-store" in response.headers["Cache-Control"]
    guest = browser.session[identity.GUEST_KEY]
    browser.get("/")
    assert browser.session[identity.GUEST_KEY] == guest
    assert not Owner.objects.exists(), "somebody who only looks leaves nothing behind"
    browser.get("/api/document/")
    assert str(Owner.objects.get().pk) == guest
    stranger = Client()
    stranger.get("/")
    assert stranger.session[identity.GUEST_KEY] != guest


def test_the_chat_greets_an_account_by_name_and_makes_no_guest(browser: Client, alice: User) -> None:
    browser.force_login(alice)
    assert "alice" in browser.get("/").content.decode()
    assert not Owner.objects.filter(kind="guest").exists()


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/nothing/", "/api/health/live/", "/api/nothing/"])
def test_no_page_may_load_or_run_anything_from_elsewhere(browser: Client, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self' ws://testserver wss://testserver;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_a_strange_host_gets_the_headers_too(browser: Client) -> None:
    response = browser.get("/", headers={"host": "evil.example.org"})
    assert response.status_code == 400
    assert "evil" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Frame-Options"] == "DENY"


async def test_the_asynchronous_chain_sets_them_as_well() -> None:
    response = await AsyncClient().get("/accounts/login/")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]


PAGES = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password_reset/",
    "/accounts/password_reset/done/",
    "/accounts/reset/x/y/",
    "/accounts/reset/done/",
    "/accounts/verify/x/",
    "/nothing/",
]


@pytest.mark.parametrize(
    "path", [*PAGES, "/accounts/reset/x/y/", "/accounts/reset/done/", "/accounts/verify/x/", "/no/"]
)
def test_the_account_pages_keep_to_their_own_policy(browser: Client, path: str) -> None:
    page = browser.get(path).content.decode()
    assert "<h1>" in page
    assert "style.css" in page
    assert not re.search(r"<script(?![^>]*src)|<style|\sstyle=|\son\w+=", page), "inline code or style"


def test_a_person_signs_up_signs_in_and_out(browser: Client, mails_of: Mails) -> None:
    fields = {"email": "dora@example.org", "username": "dora", "password": PASSWORD}
    pages = []
    mails_of(lambda: pages.append(browser.post("/accounts/signup/", fields)))
    assert "dora@example.org" in pages[0].content.decode()
    bad = browser.post("/accounts/login/", {"username": "dora", "password": "wrong"})
    assert "The name or the password is wrong." in bad.content.decode()
    good = browser.post("/accounts/login/", {"username": "Dora@example.org", "password": PASSWORD})
    assert (good.status_code, good.headers["Location"]) == (302, "/")
    assert "dora" in browser.get("/").content.decode()
    assert browser.post("/accounts/logout/").headers["Location"] == "/"
    assert "Guest" in browser.get("/").content.decode()


def test_the_sign_up_page_says_what_is_wrong_beside_the_field(browser: Client, alice: User) -> None:
    page = browser.post("/accounts/signup/", {"email": "x", "username": "alice", "password": "1"}).content.decode()
    assert "Enter a valid email address" in page
    fields = {"email": "dora@example.org", "username": "alice", "password": PASSWORD}
    assert "This username is taken." in browser.post("/accounts/signup/", fields).content.decode()


def test_the_sign_up_page_does_not_tell_who_has_an_account(browser: Client, alice: User) -> None:
    def page(email: str, username: str) -> str:
        fields = {"email": email, "username": username, "password": PASSWORD}
        return browser.post("/accounts/signup/", fields).content.decode().replace(email, "")

    assert page("alice@example.org", "dora") == page("zoe@example.org", "zoe")


def test_the_sign_in_page_says_when_there_were_too_many_attempts(browser: Client, alice: User) -> None:
    for _ in range(11):
        page = browser.post("/accounts/login/", {"username": "alice", "password": "wrong"})
    assert "Too many attempts. Please wait" in page.content.decode()


@pytest.mark.parametrize("next_page", ["https://evil.example.org/", "//evil.example.org", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(browser: Client, alice: User, next_page: str) -> None:
    fields = {"username": "alice", "password": PASSWORD, "next": next_page}
    assert browser.post("/accounts/login/", fields).headers["Location"] == "/"


def test_a_forgotten_password_is_set_anew_by_a_link(browser: Client, alice: User, mails_of: Mails) -> None:
    token = accounts.tokens_of(alice)["token"]
    (mail,) = mails_of(lambda: browser.post("/accounts/password_reset/", {"email": "ALICE@example.org"}))
    link = next(line for line in mail.body.splitlines() if line.startswith("http"))
    form = browser.get(link).headers["Location"]
    fields = {"new_password1": "a story about plums", "new_password2": "a story about plums"}
    assert browser.post(form, fields).headers["Location"] == "/accounts/reset/done/"
    alice.refresh_from_db()
    assert alice.check_password("a story about plums")
    assert alice.email_verified
    assert not type(alice).objects.filter(auth_token=token).exists()
    assert "This link does not work" in Client().get(link).content.decode()


def test_asking_for_a_link_says_the_same_for_everybody(browser: Client, alice: User, mails_of: Mails) -> None:
    answers = []
    mails_of(lambda: answers.append(browser.post("/accounts/password_reset/", {"email": "alice@example.org"})))
    mails_of(lambda: answers.append(browser.post("/accounts/password_reset/", {"email": "x@example.org"})), expected=0)
    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
        (302, "/accounts/password_reset/done/")
    ] * 2


def test_a_verification_link_of_another_server_or_address_does_not_work(browser: Client, alice: User) -> None:
    link = f"/accounts/verify/{accounts.verification_token(alice)}/"
    assert browser.get(link[:-3] + "/").status_code == 400
    alice.email = "new@example.org"
    alice.save()
    assert browser.get(link).status_code == 400
    alice.refresh_from_db()
    assert not alice.email_verified


def test_a_mail_server_that_refuses_costs_the_caller_nothing(
    browser: Client, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    fields = {"email": "dora@example.org", "username": "dora", "password": PASSWORD}
    with django_capture_on_commit_callbacks(execute=True):
        assert browser.post("/accounts/signup/", fields).status_code == 200
    assert User.objects.filter(username="dora").exists()


def test_a_form_without_its_token_is_refused_in_words(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
    assert response.status_code == 403
    assert "This form was open too long" in response.content.decode()
