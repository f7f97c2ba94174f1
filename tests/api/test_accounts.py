"""Signing up, signing in and renewing tokens by HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import RefreshToken

from miva import accounts
from miva.models import User
from tests.api.conftest import PASSWORD, Api, answer, assert_refused

pytestmark = pytest.mark.django_db
DORA = {"email": "Dora@example.org", "username": "dora", "password": PASSWORD}
Mails = Callable[..., list[Any]]


def test_signing_up_makes_an_account_and_mails_a_link_that_verifies_it(nobody: Api, mails_of: Mails) -> None:
    answers = []
    (mail,) = mails_of(lambda: answers.append(nobody.post("/api/signup/", DORA)))
    assert answers[0].status_code == 201
    assert answer(answers[0]) == {"email": "Dora@example.org", "username": "dora"}
    assert mail.to == ["Dora@example.org"]
    dora = User.objects.get(username="dora")
    assert not dora.email_verified
    link = next(line for line in mail.body.splitlines() if line.startswith("http"))
    assert nobody.client.get(link).status_code == 302
    dora.refresh_from_db()
    assert dora.email_verified


def test_an_account_that_is_not_verified_may_sign_in(nobody: Api) -> None:
    nobody.post("/api/signup/", DORA)
    assert nobody.post("/api/login/", {"email": "dora@example.org", "password": PASSWORD}).status_code == 200


def test_a_taken_address_gets_the_same_answer_and_a_mail_that_says_so(
    nobody: Api, alice: User, mails_of: Mails
) -> None:
    before = alice.password
    taken = DORA | {"email": "ALICE@example.org"}
    answers = []
    (mail,) = mails_of(lambda: answers.append(nobody.post("/api/signup/", taken)))
    assert answers[0].status_code == 201
    assert answer(answers[0]) == {"email": "ALICE@example.org", "username": "dora"}
    assert "has an account already" in mail.body
    assert not User.objects.filter(username="dora").exists()
    alice.refresh_from_db()
    assert alice.password == before


def test_nobody_can_fill_a_strangers_mailbox(nobody: Api, alice: User, mails_of: Mails) -> None:
    def sign_up_often() -> None:
        for _ in range(12):
            nobody.post("/api/signup/", DORA | {"email": alice.email})

    mails_of(sign_up_often, expected=5)


@pytest.mark.parametrize("name", ["alice", "ALICE"])
def test_a_taken_username_is_refused_in_any_case(nobody: Api, alice: User, name: str) -> None:
    assert_refused(nobody.post("/api/signup/", DORA | {"username": name}), 400, "bad_field", "username")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", "a@b"),
        ("email", f"{'x' * 300}@example.org"),
        ("email", "dora@example.org\nBcc: bob@example.org"),
        ("username", "two words"),
        ("username", "dora@example.org"),
        ("username", "x" * 200),
        ("password", "short"),
        ("password", "password"),
        ("password", "82736451928374"),
        ("password", "dora@example.org"),
        ("password", "x" * 2000),
    ],
)
def test_a_field_that_cannot_be_used_is_named(nobody: Api, field: str, value: str) -> None:
    assert_refused(nobody.post("/api/signup/", DORA | {field: value}), 400, "bad_field", field)
    assert not User.objects.exists()


@pytest.mark.parametrize("name", [{"username": "alice"}, {"username": "aLiCe"}, {"email": "Alice@Example.org"}])
def test_alice_signs_in_by_name_or_address_in_any_case(nobody: Api, alice: User, name: dict[str, str]) -> None:
    tokens = answer(nobody.post("/api/login/", name | {"password": PASSWORD}))
    assert set(tokens) == {"token", "access", "refresh"}
    for header in (f"Token {tokens['token']}", f"Bearer {tokens['access']}", f"bearer {tokens['token']}"):
        assert Api(Authorization=header).get("/api/document/").status_code == 200


def test_an_address_in_the_field_username_works_too(nobody: Api, alice: User) -> None:
    assert nobody.post("/api/login/", {"username": "alice@example.org", "password": PASSWORD}).status_code == 200


def test_a_wrong_password_and_an_unknown_name_are_told_apart_by_nobody(nobody: Api, alice: User) -> None:
    wrong = nobody.post("/api/login/", {"username": "alice", "password": "wrong"})
    unknown = nobody.post("/api/login/", {"username": "zoe", "password": "wrong"})
    assert_refused(wrong, 401, "unauthenticated")
    assert wrong.content == unknown.content


def test_a_closed_account_cannot_sign_in_and_its_tokens_end(nobody: Api, alice: User, as_alice: Api) -> None:
    alice.is_active = False
    alice.save()
    assert_refused(nobody.post("/api/login/", {"username": "alice", "password": PASSWORD}), 401, "unauthenticated")
    assert_refused(as_alice.get("/api/document/"), 401, "unauthenticated")


def test_passwords_of_one_account_cannot_be_guessed_without_end(nobody: Api, alice: User) -> None:
    answers = [nobody.post("/api/login/", {"username": "alice", "password": f"guess {n}"}) for n in range(11)]
    assert [response.status_code for response in answers] == [401] * 10 + [429]
    assert_refused(answers[-1], 429, "rate_limited")
    assert 0 < answer(answers[-1])["retry_after"] <= 300
    assert int(answers[-1].headers["Retry-After"]) >= 1
    # Neither by another spelling of the name, nor with the right password now, nor from elsewhere.
    for name in ("ALICE", "alice@example.org"):
        late = nobody.post("/api/login/", {"username": name, "password": PASSWORD}, REMOTE_ADDR="192.0.2.7")
        assert_refused(late, 429, "rate_limited")


def test_guesses_from_one_address_are_limited_over_all_names(nobody: Api, bob: User) -> None:
    for number in range(100):
        nobody.post("/api/login/", {"username": f"name{number}", "password": "guess"})
    known = {"username": "bob", "password": PASSWORD}
    assert_refused(nobody.post("/api/login/", known), 429, "rate_limited")
    assert nobody.post("/api/login/", known, REMOTE_ADDR="192.0.2.7").status_code == 200


def test_who_knows_the_password_may_sign_in_as_often_as_they_like(nobody: Api, alice: User) -> None:
    for _ in range(120):
        assert nobody.post("/api/login/", {"username": "alice", "password": PASSWORD}).status_code == 200


def test_a_forwarded_address_that_a_client_writes_itself_counts_for_nothing(nobody: Api, alice: User) -> None:
    guesses = [
        nobody.post(
            "/api/login/", {"username": f"n{n}", "password": "guess"}, headers={"X-Forwarded-For": f"192.0.2.{n}"}
        )
        for n in range(101)
    ]
    assert guesses[-1].status_code == 429


def test_a_refresh_token_works_once(nobody: Api, alice: User) -> None:
    first = accounts.tokens_of(alice)
    renewed = answer(nobody.post("/api/token/refresh/", {"refresh": first["refresh"]}))
    assert set(renewed) == {"access", "refresh"}
    assert Api(Authorization=f"Bearer {renewed['access']}").get("/api/document/").status_code == 200
    assert_refused(nobody.post("/api/token/refresh/", {"refresh": first["refresh"]}), 401, "unauthenticated")
    assert nobody.post("/api/token/refresh/", {"refresh": renewed["refresh"]}).status_code == 200


def test_a_new_password_ends_every_token(nobody: Api, alice: User, as_alice: Api) -> None:
    tokens = accounts.tokens_of(alice)
    alice.set_password("another story, about plums")
    alice.save()
    assert_refused(as_alice.get("/api/document/"), 401, "unauthenticated")
    by_jwt = Api(Authorization=f"Bearer {tokens['access']}")
    assert_refused(by_jwt.get("/api/document/"), 401, "unauthenticated")
    assert_refused(nobody.post("/api/token/refresh/", {"refresh": tokens["refresh"]}), 401, "unauthenticated")


def test_tokens_of_a_deleted_account_are_worth_nothing(nobody: Api, alice: User) -> None:
    tokens = accounts.tokens_of(alice)
    alice.delete()
    assert_refused(nobody.post("/api/token/refresh/", {"refresh": tokens["refresh"]}), 401, "unauthenticated")
    for header in (f"Token {tokens['token']}", f"Bearer {tokens['access']}"):
        assert_refused(Api(Authorization=header).get("/api/document/"), 401, "unauthenticated")


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(nobody: Api, alice: User) -> None:
    tokens = accounts.tokens_of(alice)
    assert_refused(nobody.post("/api/token/refresh/", {"refresh": tokens["access"]}), 401, "unauthenticated")
    assert_refused(Api(Authorization=f"Bearer {tokens['refresh']}").get("/api/document/"), 401, "unauthenticated")


def test_a_token_with_a_strange_owner_is_refused(nobody: Api, alice: User) -> None:
    token = RefreshToken.for_user(alice)
    token["user_id"] = "not a number"
    assert_refused(nobody.post("/api/token/refresh/", {"refresh": str(token)}), 401, "unauthenticated")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 40, "x" * 8000, "a b"])
def test_a_bad_token_is_refused_and_nobody_becomes_the_public_guest_by_it(token: str) -> None:
    for scheme in ("Token", "Bearer"):
        response = Api(Authorization=f"{scheme} {token}").get("/api/document/")
        assert_refused(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == "Token"
