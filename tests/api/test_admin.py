"""The admin: for staff alone, the same few queries for one row and for thirty, and no tokens to be seen."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from miva import identity
from miva.models import Conversation, Document, Message, User
from tests.api.conftest import PASSWORD

pytestmark = pytest.mark.django_db
MODELS = ["user", "owner", "conversation", "message", "document"]


@pytest.fixture
def staff(db: None) -> Client:
    """The browser of a person who may see everything."""
    User.objects.create_superuser("root", "root@example.org", PASSWORD)
    browser = Client()
    browser.post("/admin/login/?next=/admin/", {"username": "root@example.org", "password": PASSWORD})
    return browser


def fill(first: int, last: int) -> None:
    for number in range(first, last):
        user = User.objects.create(username=f"u{number}", email=f"u{number}@example.org")
        owner = identity.owner_of_user(user)
        conversation = Conversation.objects.create(owner=owner, label=f"label{number}")
        Message.objects.create(conversation=conversation, role="user", content=f"question {number}")
        Document.objects.create(
            owner=owner,
            name=f"{number}.pdf",
            media_type="application/pdf",
            sha256="0" * 64,
            content_id="0" * 64,
            size=1,
        )


@pytest.mark.parametrize("model", MODELS)
def test_a_list_can_be_searched_and_costs_the_same_for_thirty_rows(staff: Client, model: str) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(path).status_code == 200
        return len(captured)

    path = f"/admin/miva/{model}/"
    fill(0, 2)
    few = queries(path)
    fill(2, 30)
    assert queries(path) == few
    assert staff.get(path + "?q=u7").status_code == 200


@pytest.mark.parametrize("model", MODELS[1:])
def test_what_belongs_to_people_can_be_looked_at_and_not_changed(staff: Client, model: str) -> None:
    fill(0, 1)
    row = admin.site._registry  # every model of ours is there
    (of_model,) = [m for m in row if m._meta.label_lower == f"miva.{model}"]
    path = f"/admin/miva/{model}/{of_model.objects.first().pk}/change/"  # type: ignore[attr-defined]
    assert staff.get(path).status_code == 200
    assert staff.post(path, {"name": "changed"}).status_code == 403
    assert staff.get(f"/admin/miva/{model}/add/").status_code == 403


def test_an_account_is_made_in_the_admin(staff: Client) -> None:
    fields = {"email": "dora@example.org", "username": "dora", "usable_password": "true"}
    staff.post("/admin/miva/user/add/", fields | {"password1": PASSWORD, "password2": PASSWORD})
    assert User.objects.get(email="dora@example.org").check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)  # documents are forgotten in a thread, which sees what is committed
def test_deleting_an_account_takes_everything_of_it_along(staff: Client) -> None:
    fill(0, 2)
    user = User.objects.get(username="u0")
    assert staff.post(f"/admin/miva/user/{user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert [document.name for document in Document.objects.all()] == ["1.pdf"]
    assert Conversation.objects.get().label == "label1"


def test_nobody_sees_other_peoples_tokens_there(staff: Client) -> None:
    assert not [model for model in admin.site._registry if "token" in model._meta.label_lower]


def test_an_account_without_the_right_is_not_let_in(alice: User) -> None:
    browser = Client()
    page = browser.post("/admin/login/?next=/admin/", {"username": "alice", "password": PASSWORD})
    assert page.status_code == 200
    assert browser.get("/admin/").status_code == 302


def test_guesses_are_limited_there_too(alice: User) -> None:
    browser = Client()
    for _ in range(11):
        page = browser.post("/admin/login/?next=/admin/", {"username": "alice", "password": "guess"})
    assert "Too many attempts" in page.content.decode()
