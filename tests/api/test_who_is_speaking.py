"""Whose things a call sees: the token's account, the cookie's account or guest, or the public guest."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session

from miva import identity
from miva.models import Conversation, Document, Owner, User
from tests.api.conftest import PASSWORD, Api, answer, assert_refused

pytestmark = pytest.mark.django_db


def keep(owner: Owner, name: str) -> Document:
    """A document of an owner, as if it had been read."""
    return Document.objects.create(
        owner=owner, name=name, media_type="text/plain", sha256="0" * 64, content_id="0" * 64, size=1, status="ready"
    )


def names(api: Api) -> list[str]:
    """The names of the documents that a caller sees."""
    return [document["name"] for document in answer(api.get("/api/document/"))]


def guest_of(api: Api) -> Owner:
    """The owner behind a guest's browser."""
    return identity.guest_owner(api.client.session)


def test_everybody_sees_only_their_own_documents(
    nobody: Api, as_alice: Api, as_bob: Api, charlie: Api, alice: User, bob: User
) -> None:
    keep(identity.owner_of_user(alice), "Alice's")
    keep(identity.owner_of_user(bob), "Bob's")
    keep(guest_of(charlie), "Charlie's")
    keep(Owner.objects.get_or_create(kind="public")[0], "everybody's")
    stranger = Api()
    stranger.client.get("/")
    assert names(as_alice) == ["Alice's"]
    assert names(as_bob) == ["Bob's"]
    assert names(charlie) == ["Charlie's"]
    assert names(nobody) == ["everybody's"]
    assert names(stranger) == []


def test_the_list_has_what_the_socket_and_the_upload_say_of_a_document(as_alice: Api, alice: User) -> None:
    document = keep(identity.owner_of_user(alice), "pears.txt")
    (listed,) = answer(as_alice.get("/api/document/"))
    assert listed["id"] == listed["document_id"] == str(document.pk)
    assert listed["name"] == listed["filename"] == "pears.txt"
    assert (listed["status"], listed["total_chunks"], listed["sha256"]) == ("ready", 0, "0" * 64)


def test_the_list_costs_the_same_for_one_document_and_for_fifty(
    as_alice: Api, alice: User, django_assert_num_queries: Any
) -> None:
    owner = identity.owner_of_user(alice)
    for number in range(50):
        keep(owner, f"{number}.txt")
    with django_assert_num_queries(3):  # the token with its account, the account's owner, the documents
        assert len(names(as_alice)) == 50


@pytest.mark.django_db(transaction=True)  # deleting is done in a thread, which sees what is committed
def test_bob_cannot_delete_alices_document_and_cannot_tell_that_it_is_there(
    as_bob: Api, charlie: Api, nobody: Api, alice: User
) -> None:
    document = keep(identity.owner_of_user(alice), "Alice's")
    for stranger in (as_bob, charlie, nobody):
        theirs = stranger.send("DELETE", f"/api/document/{document.pk}/")
        missing = stranger.send("DELETE", f"/api/document/{uuid4()}/")
        assert_refused(theirs, 404, "not_found")
        assert theirs.content == missing.content
    assert Document.objects.filter(pk=document.pk).exists()


def test_a_call_for_accounts_refuses_guests(nobody: Api, charlie: Api) -> None:
    for guest in (nobody, charlie):
        assert_refused(guest.post("/api/upload/"), 401, "unauthenticated")


def test_where_guests_may_not_chat_only_accounts_are_heard(
    nobody: Api, charlie: Api, as_alice: Api, settings: Any
) -> None:
    settings.MIVA_ANONYMOUS = False
    for guest in (nobody, charlie):
        assert_refused(guest.get("/api/document/"), 401, "unauthenticated")
    assert as_alice.get("/api/document/").status_code == 200
    assert nobody.client.get("/").headers["Location"] == "/accounts/login/"


def test_a_token_counts_before_a_cookie(charlie: Api, as_alice: Api, alice: User) -> None:
    keep(identity.owner_of_user(alice), "Alice's")
    charlie.headers = as_alice.headers
    assert names(charlie) == ["Alice's"]


def test_an_authorization_that_is_not_ours_is_left_to_its_proxy() -> None:
    assert names(Api(Authorization="Basic YWxpY2U6c2VjcmV0")) == []


@pytest.mark.parametrize("who", ["a guest", "an account"])
def test_a_cookie_alone_changes_nothing(alice: User, who: str) -> None:
    browser = Api(csrf=True)
    browser.client.get("/")
    if who == "an account":
        browser.client.force_login(alice)
    owner = identity.owner_of_user(alice) if who == "an account" else guest_of(browser)
    document = keep(owner, "theirs")
    assert names(browser) == ["theirs"]
    path = f"/api/document/{document.pk}/"
    assert_refused(browser.send("DELETE", path), 403, "forbidden")
    assert_refused(browser.send("DELETE", path, headers={"X-CSRFToken": "x" * 32}), 403, "forbidden")
    token = browser.client.cookies["csrftoken"].value
    from_elsewhere = {"X-CSRFToken": token, "Origin": "https://evil.example.org"}
    assert_refused(browser.send("DELETE", path, headers=from_elsewhere), 403, "forbidden")
    assert names(browser) == ["theirs"]
    no_file = browser.post("/api/document/", headers={"X-CSRFToken": token, "Origin": "http://testserver"})
    assert_refused(no_file, 400, "bad_field", "file")


def test_a_made_up_session_is_nobody(nobody: Api) -> None:
    nobody.client.cookies["sessionid"] = "x" * 32
    assert names(nobody) == []
    assert Owner.objects.get().kind == "public"


def test_what_a_guest_had_becomes_the_accounts_when_they_sign_in_on_the_page(charlie: Api, alice: User) -> None:
    guest = guest_of(charlie)
    keep(guest, "Charlie's")
    Conversation.objects.create(owner=guest, label="pears")
    keep(identity.owner_of_user(alice), "Alice's")
    response = charlie.client.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
    assert response.headers["Location"] == "/"
    assert names(charlie) == ["Alice's", "Charlie's"]
    assert Conversation.objects.get().owner == identity.owner_of_user(alice)
    assert not Owner.objects.filter(pk=guest.pk).exists()


def test_the_apis_login_moves_a_guests_things_where_the_page_proves_itself(alice: User) -> None:
    browser = Api(csrf=True)
    browser.client.get("/")
    keep(guest_of(browser), "Charlie's")
    credentials = {"username": "alice", "password": PASSWORD}
    assert browser.post("/api/login/", credentials).status_code == 200
    assert Document.objects.get().owner == guest_of(browser)
    proof = {"X-CSRFToken": browser.client.cookies["csrftoken"].value}
    assert browser.post("/api/login/", credentials, headers=proof).status_code == 200
    assert Document.objects.get().owner == identity.owner_of_user(alice)
    assert names(browser) == ["Charlie's"]


def test_signing_in_takes_nothing_from_another_account(alice: User, bob: User) -> None:
    keep(identity.owner_of_user(bob), "Bob's")
    browser = Api()
    browser.client.force_login(bob)
    browser.client.post("/accounts/logout/")
    browser.client.get("/")
    browser.client.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
    assert names(browser) == []


def test_a_deleted_session_ends_the_login(alice: User) -> None:
    browser = Api()
    browser.client.force_login(alice)
    keep(identity.owner_of_user(alice), "Alice's")
    assert names(browser) == ["Alice's"]
    Session.objects.all().delete()
    assert names(browser) == []
