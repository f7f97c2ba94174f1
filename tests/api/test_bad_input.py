"""Nothing that a client can send under /api/ makes an HTML page or a 500: each mistake has its answer in JSON."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import AsyncClient

from miva.urls import urlpatterns
from tests.api.conftest import PASSWORD, Api, answer, assert_refused

pytestmark = pytest.mark.django_db
CALLS = [
    ("/api/signup/", {"email": "dora@example.org", "username": "dora", "password": PASSWORD}),
    ("/api/login/", {"username": "alice", "password": PASSWORD}),
    ("/api/token/refresh/", {"refresh": "token"}),
]
FIELDS = [(path, body, field) for path, body in CALLS for field in body]
FORM = "multipart/form-data; boundary=frontier"


@pytest.fixture(params=[True, False], ids=["debug", "no debug"], autouse=True)
def _with_and_without_debug(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.DEBUG = request.param


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api", "/api/nothing/", "/api/login/more", "/api/%00/", "/api/%ff%fe/", "/api/..%2fadmin", "/api//"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
def test_an_unknown_address_is_not_found(nobody: Api, method: str, path: str) -> None:
    assert_refused(nobody.send(method, path), 404, "not_found")


def _paths() -> list[str]:
    patterns = [str(pattern.pattern) for pattern in urlpatterns if str(pattern.pattern).startswith("^api")]
    return ["/" + re.sub(r"\(\?P<\w+>.*?\)", "x", pattern).strip("^$").replace("/?", "/") for pattern in patterns]


@pytest.mark.parametrize("path", _paths())
@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "BREW", "OPTIONS"])
def test_a_wrong_method_is_refused_with_those_that_are_right(as_alice: Api, method: str, path: str) -> None:
    response = as_alice.send(method, path)
    assert_refused(response, 405, "bad_field", "method")
    assert response.headers["Allow"]


def test_every_call_works_without_the_last_slash_too(nobody: Api) -> None:
    for path in _paths():
        assert nobody.post(path.rstrip("/")).status_code == nobody.post(path).status_code, path
        assert nobody.post(path.rstrip("/")).status_code not in (301, 302, 404), path


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b"NaN",
        b'{"username": NaN}',
        b'{"username": "\xff\xfe"}',
        b"\xef\xbb\xbf{",
        b"[" * 100_000,
        b'{"username": ' + b"9" * 10_000 + b"}",
        b"\x00",
    ],
)
@pytest.mark.parametrize("path", [path for path, _ in CALLS])
def test_what_is_not_a_json_object_is_bad_json(nobody: Api, path: str, body: bytes) -> None:
    assert_refused(nobody.post(path, body), 400, "bad_json")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "image/png", "nonsense", ";;;", ""])
@pytest.mark.parametrize("path", [path for path, _ in CALLS] + ["/api/document/"])
def test_another_media_type_is_refused(nobody: Api, path: str, kind: str) -> None:
    assert_refused(nobody.post(path, b"{}", content_type=kind), 415, "unsupported_type")


@pytest.mark.parametrize("charset", ["utf-16", "rot13", "hex", "zlib", "nonsense", "\x01"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", FORM])
def test_a_strange_charset_harms_nobody(nobody: Api, kind: str, charset: str) -> None:
    body = b'--frontier\r\nContent-Disposition: form-data; name="username"\r\n\r\nx\r\n--frontier--\r\n'
    body = body if kind == FORM else b'{"username": "x"}' if "json" in kind else b"username=x"
    response = nobody.post("/api/login/", body, content_type=f"{kind}; charset={charset}")
    assert_refused(response, 400, "bad_field", "password")


@pytest.mark.parametrize(("path", "body", "field"), FIELDS)
@pytest.mark.parametrize(
    "value", [None, "", 7, True, ["x"], {"x": 1}, "zero \0 byte", "half \ud800 pair", "x" * 100_000]
)
def test_a_field_that_cannot_be_used_is_named(
    nobody: Api, path: str, body: dict[str, Any], field: str, value: Any
) -> None:
    assert_refused(nobody.post(path, body | {field: value}), 400, "bad_field", field)


@pytest.mark.parametrize(("path", "body", "field"), FIELDS)
def test_a_missing_field_is_named(nobody: Api, path: str, body: dict[str, Any], field: str) -> None:
    assert_refused(nobody.post(path, {k: v for k, v in body.items() if k != field}), 400, "bad_field", field)


def test_a_body_is_not_needed_to_be_told_so(nobody: Api) -> None:
    for path, body in CALLS:
        assert_refused(nobody.post(path), 400, "bad_field", next(iter(body)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        b"--frontier\r\n",
        b"--frontier\r\nContent-Disposition: form-data; name=\r\n\r\nx",
        b'--frontier\r\nContent-Disposition: form-data; name="file"\r\n\r\nnot a file\r\n--frontier--\r\n',
        b'--frontier\r\nContent-Disposition: form-data; name="other"; filename="a.pdf"\r\n\r\nx\r\n--frontier--\r\n',
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--frontier--\r\n",
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx\r\n' * 2
        + b"--frontier--\r\n",
        b"--frontier\r\n" + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\nx\r\n--frontier--\r\n",
    ],
)
@pytest.mark.parametrize("kind", [FORM, "multipart/form-data", "multipart/form-data; boundary=\x01"])
def test_a_form_without_a_good_file_is_refused(nobody: Api, kind: str, body: bytes) -> None:
    response = nobody.post("/api/document/", body, content_type=kind)
    assert response.status_code in (400, 415), response.content
    assert answer(response)["code"] in ("bad_field", "bad_frame", "unsupported_type")


def test_too_many_fields_are_refused(nobody: Api) -> None:
    body = "&".join(f"field{n}=x" for n in range(1500)).encode()
    response = nobody.post("/api/login/", body, content_type="application/x-www-form-urlencoded")
    assert_refused(response, 400, "bad_frame")


def test_a_body_that_is_too_large_is_refused(nobody: Api) -> None:
    assert_refused(nobody.post("/api/login/", b" " * 3_000_000 + b"{}"), 413, "file_too_large")
    form = b"username=" + b"x" * 3_000_000
    response = nobody.post("/api/login/", form, content_type="application/x-www-form-urlencoded")
    assert_refused(response, 413, "file_too_large")


@pytest.mark.parametrize("host", ["evil.example.org", "a b", "[::", "localhost:port", ""])
def test_a_strange_host_is_refused_in_json(nobody: Api, host: str) -> None:
    assert_refused(nobody.get("/api/document/", headers={"Host": host}), 400, "bad_frame")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=x"])
def test_the_answer_is_json_whatever_is_accepted(nobody: Api, accept: str) -> None:
    response = nobody.get("/api/document/?format=xml", headers={"Accept": accept})
    assert (response.status_code, answer(response)) == (200, [])


@pytest.mark.parametrize("id", ["7", "x" * 3000, "00000000-0000-0000-0000-000000000000", "%00", "..", "%F0%9F%98%80"])
def test_a_document_that_is_not_there_is_not_found(nobody: Api, id: str) -> None:
    assert_refused(nobody.send("DELETE", f"/api/document/{id}/"), 404, "not_found")


async def test_the_asynchronous_chain_says_the_same(settings: Any) -> None:
    client = AsyncClient(raise_request_exception=False)
    for path, status, code in [("/api/nothing", 404, "not_found"), ("/api/health/live/x", 404, "not_found")]:
        assert_refused(await client.get(path), status, code)
    assert_refused(await client.post("/api/login/", b"{", content_type="application/json"), 400, "bad_json")
    assert_refused(await client.get("/api/login/", headers={"host": "evil.example.org"}), 400, "bad_frame")
    assert_refused(await client.post("/api/health/"), 405, "bad_field", "method")


def test_answers_are_kept_by_nobody(nobody: Api) -> None:
    assert nobody.get("/api/document/").headers["Cache-Control"] == "no-store"
