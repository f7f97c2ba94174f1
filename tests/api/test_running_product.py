"""Documents and logins by HTTP, against a real server: Alice and Bob have tokens, Charlie has a guest's cookie."""

from __future__ import annotations

import asyncio
import http.cookiejar
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from PyPDF2 import PdfReader, PdfWriter
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.pdfs import make_pdf
from tests.product import PATIENCE_S, Product

PASSWORD = "a long story about pears"
PEARS = make_pdf(["The pear tree was planted in 1831.", "It still bears fruit."])
Answer = tuple[int, Any]


class Caller:
    """A program or a browser in front of the product; keeps cookies as a browser does."""

    def __init__(self, product: Product, **headers: str) -> None:
        self.url = product.url
        self.headers = headers
        self.name = ""
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Status, and the JSON of the answer (None where there is none)."""
        request = urllib.request.Request(self.url + path, body, self.headers | headers, method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as response:
                status, text = response.status, response.read()
        except urllib.error.HTTPError as why:
            status, text = why.code, why.read()
        return status, json.loads(text) if text.startswith((b"{", b"[")) else None

    def post(self, path: str, **fields: str) -> Answer:
        return self.call("POST", path, json.dumps(fields).encode(), **{"Content-Type": "application/json"})

    def upload(self, path: str, content: bytes, name: str = "pears.pdf", kind: str = "", **fields: str) -> Answer:
        """Sends a form with a file, as a browser does."""
        edge = uuid4().hex
        parts = [f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        parts.append(f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n')
        parts.append(f"Content-Type: {kind or 'application/octet-stream'}\r\n\r\n")
        form = "".join(parts).encode() + content + f"\r\n--{edge}--\r\n".encode()
        return self.call("POST", path, form, **{"Content-Type": f"multipart/form-data; boundary={edge}"})

    def cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp(f"api-{request.param}")
    with Product(folder, request.param, MIVA_MAX_FILE_MB="6") as product:
        yield product


def sign_up(product: Product, name: str) -> Caller:
    caller = Caller(product)
    name = f"{name}{uuid4().hex[:6]}"
    assert caller.post("api/signup/", email=f"{name}@example.org", username=name, password=PASSWORD)[0] == 201
    status, tokens = caller.post("api/login/", username=name, password=PASSWORD)
    assert status == 200
    caller.headers = {"Authorization": f"Token {tokens['token']}"}
    caller.name = name
    return caller


@pytest.fixture(scope="module")
def alice(product: Product) -> Caller:
    return sign_up(product, "alice")


@pytest.fixture(scope="module")
def bob(product: Product) -> Caller:
    return sign_up(product, "bob")


@pytest.fixture
def charlie(product: Product) -> Caller:
    """A guest's browser, which has opened the page."""
    caller = Caller(product)
    caller.call("GET", "")
    caller.headers = {"X-CSRFToken": caller.cookie("csrftoken")}
    return caller


def listed(caller: Caller) -> list[str]:
    return [document["document_id"] for document in caller.call("GET", "api/document/")[1]]


def test_alice_uploads_a_pdf_and_nobody_else_has_it(product: Product, alice: Caller, bob: Caller) -> None:
    status, said = alice.upload("api/upload/", PEARS, "Birnen äöü.pdf")
    assert status == 201
    assert list(said) == ["document_id", "filename", "status", "pages", "total_chunks", "processing_time"]
    assert (said["filename"], said["status"], said["pages"]) == ("Birnen äöü.pdf", "processed", 2)
    assert said["total_chunks"] >= 1
    assert re.fullmatch(r"\d+\.\d\ds", said["processing_time"])
    id = said["document_id"]
    assert id in listed(alice)
    assert listed(bob) == listed(Caller(product)) == []
    for stranger in (bob, Caller(product)):
        assert stranger.call("DELETE", f"api/document/{id}/")[0] == 404
    assert alice.call("DELETE", f"api/document/{id}/") == (204, None)
    assert id not in listed(alice)
    assert alice.call("DELETE", f"api/document/{id}/")[1]["code"] == "not_found"


async def test_a_token_clients_answer_comes_word_by_word(product: Product, alice: Caller) -> None:
    status, said = alice.upload("api/upload/", PEARS)
    assert status == 201
    token = alice.headers["Authorization"].split()[1]
    async with connect(f"{product.socket_url}?token={token}", compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await socket.send(json.dumps({"query": "What is this document about?"}))
        frames = [json.loads(await socket.recv())]
        while frames[-1]["type"] not in ("done", "error"):
            frames.append(json.loads(await socket.recv()))
    thinking, *pieces, done = frames
    assert (thinking["type"], done["type"]) == ("thinking", "done")
    told = [piece["content"] for piece in pieces]
    assert len(told) > 5
    assert all(len(piece.split()) == 1 for piece in told)
    assert "".join(told) == done["response"]
    assert alice.call("DELETE", f"api/document/{said['document_id']}/")[0] == 204


def test_a_guest_may_use_the_call_for_guests_alone(charlie: Caller) -> None:
    status, said = charlie.upload("api/upload/", PEARS)
    assert (status, said["code"]) == (401, "unauthenticated")
    status, said = charlie.upload("api/document/", PEARS)
    assert status == 201
    assert listed(charlie) == [said["document_id"]]


def test_a_guests_cookie_alone_uploads_nothing(charlie: Caller) -> None:
    charlie.headers = {}
    status, said = charlie.upload("api/document/", PEARS)
    assert (status, said["code"]) == (403, "forbidden")


def test_a_locked_pdf_wants_its_password(alice: Caller) -> None:
    writer, locked = PdfWriter(), io.BytesIO()
    writer.append_pages_from_reader(PdfReader(io.BytesIO(PEARS)))
    writer.encrypt("secret", use_128bit=True)
    writer.write(locked)
    for wrong in ({}, {"password": "wrong"}):
        status, said = alice.upload("api/upload/", locked.getvalue(), **wrong)
        assert (status, said["code"]) == (400, "encrypted_pdf")
    status, said = alice.upload("api/upload/", locked.getvalue(), password="secret")
    assert (status, said["pages"]) == (201, 2)


LATIN = "Die Bäume blühen im März, und die Früchte reifen später.\n".encode("latin-1") * 20


@pytest.mark.parametrize(
    ("content", "name", "kind", "status", "code"),
    [
        (b"no pdf at all", "a.pdf", "application/pdf", 400, "not_a_pdf"),
        (b"", "a.pdf", "application/pdf", 400, "not_a_pdf"),
        (b"%PDF-1.7\nrubbish", "a.pdf", "application/pdf", 400, "broken_pdf"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "a.png", "image/png", 415, "unsupported_type"),
        (b"\0\1\2\3" * 100, "a.txt", "text/plain", 415, "unsupported_type"),
        (b"", "a.txt", "text/plain", 400, "no_text"),
        (b"  \n ", "a.txt", "text/plain", 400, "no_text"),
        (LATIN, "a.txt", "text/plain", 400, "bad_field"),
        (b"pear " * 1_060_000, "a.txt", "text/plain", 413, "file_too_large"),
        (make_pdf(["Pear"], size=6 * 2**20 + 1), "a.pdf", "application/pdf", 413, "file_too_large"),
        (make_pdf(["Pear"], size=9 * 2**20), "a.pdf", "application/pdf", 413, "file_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_file_is_refused_in_words(
    product: Product, content: bytes, name: str, kind: str, status: int, code: str
) -> None:
    found, said = Caller(product).upload("api/document/", content, name, kind)
    assert (found, said["code"]) == (status, code), said
    assert len(said["error"]) > 10
    assert str(product.data) not in said["error"]


def test_what_could_not_be_read_is_listed_with_its_reason(bob: Caller) -> None:
    bob.upload("api/upload/", b"%PDF-1.7\nrubbish", "broken.pdf")
    (document,) = bob.call("GET", "api/document/")[1]
    assert (document["name"], document["status"], document["error"]) == ("broken.pdf", "failed", "broken_pdf")


def test_accounts_may_upload_text_in_any_encoding(alice: Caller) -> None:
    assert alice.upload("api/upload/", LATIN, "a.txt", "text/plain")[0] == 201
    assert alice.upload("api/document/", "Bäume".encode(), "b.txt", "text/plain")[0] == 201


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "..\\..\\a.pdf", "a\nb.pdf", "<b>.pdf", "x" * 600 + ".pdf", "%00.pdf"]
)
def test_a_strange_file_name_harms_nothing(product: Product, alice: Caller, name: str) -> None:
    status, said = alice.upload("api/upload/", PEARS, name)
    assert status in (201, 400)
    if status == 201:
        assert "/" not in said["filename"]
        assert "\n" not in said["filename"]
        assert len(said["filename"]) <= 255


async def test_the_upload_is_told_to_the_pages_sockets_under_its_own_id(product: Product, alice: Caller) -> None:
    token = alice.headers["Authorization"].split()[1]
    names = [Subprotocol("miva.v1"), Subprotocol(f"token.{token}")]
    async with connect(product.socket_url, subprotocols=names) as socket:
        assert json.loads(await socket.recv())["type"] == "hello"
        alice.upload("api/upload/", make_pdf([f"Unique {uuid4()}"]), id="my upload")
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "document" and frame["document"]["status"] == "ready":
                assert frame["id"] == "my upload"
                return


async def test_a_guests_socket_closes_when_they_sign_in_and_again_when_they_sign_out(
    product: Product, charlie: Caller, alice: Caller
) -> None:
    id = charlie.upload("api/document/", PEARS)[1]["document_id"]

    def as_browser() -> Any:
        cookie = f"sessionid={charlie.cookie('sessionid')}"
        headers = {"Cookie": cookie, "Origin": product.url.rstrip("/")}
        return connect(product.socket_url, subprotocols=[Subprotocol("miva.v1")], additional_headers=headers)

    async with as_browser() as socket:
        assert json.loads(await socket.recv())["user"]["guest"] is True
        fields = {"username": alice.name, "password": PASSWORD, "csrfmiddlewaretoken": charlie.cookie("csrftoken")}
        charlie.call("POST", "accounts/login/", urlencode(fields).encode(), Referer=product.url)
        await asyncio.wait_for(socket.wait_closed(), PATIENCE_S)
        assert socket.close_code == 4401
    async with as_browser() as socket:
        assert json.loads(await socket.recv())["user"] == {"name": alice.name, "guest": False}
        assert id in listed(alice)
        assert id in listed(charlie)
        proof = urlencode({"csrfmiddlewaretoken": charlie.cookie("csrftoken")}).encode()
        charlie.call("POST", "accounts/logout/", proof, Referer=product.url)
        await asyncio.wait_for(socket.wait_closed(), PATIENCE_S)
        assert socket.close_code == 4401
    assert listed(charlie) == []


def test_tokens_and_passwords_reach_no_log(product: Product, alice: Caller) -> None:
    alice.call("GET", "api/document/")
    for link in ("accounts/verify/sent-by-mail/", "accounts/reset/MQ/sent-by-mail/"):
        alice.call("GET", link)
    log = product.log()
    assert "sent-by-mail" not in log
    assert "api/document" in log or product.server == "daphne"
    assert alice.headers["Authorization"].split()[1] not in log
    assert PASSWORD not in log


def test_static_files_come_without_a_warning(product: Product) -> None:
    for _ in range(3):
        with urllib.request.urlopen(product.url + "static/style.css") as response:
            assert response.read() == Path("assets/style.css").read_bytes()
    assert "Warning" not in product.log()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(1001))),
        ("multipart/form-data", b"no boundary"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n' * 101 + b"--b--\r\n",
        ),
    ],
    ids=["fields", "boundary", "files"],
)
def test_a_form_that_cannot_be_read_is_no_error_of_the_server(product: Product, kind: str, body: bytes) -> None:
    before = len(product.log())
    browser = {"Cookie": f"csrftoken={'a' * 32}", "Origin": product.url.rstrip("/"), "Content-Type": kind}
    request = urllib.request.Request(f"{product.url}accounts/login/", body, browser)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert_one_line(product, before)


def test_a_strange_host_is_no_error_of_the_server(product: Product) -> None:
    before = len(product.log())
    request = urllib.request.Request(f"{product.url}api/health/live/", headers={"Host": "evil.example.org"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert_one_line(product, before)


def assert_one_line(product: Product, before: int) -> None:
    """What the log has from `before` on tells a client's mistake, and no more than that."""
    new = product.log()[before:]
    assert " WARNING django." in new or product.server == "daphne"  # which refuses some forms by itself
    assert "Traceback" not in new
    assert "ERROR" not in new


def test_the_server_had_no_error_of_its_own(product: Product) -> None:
    assert "Traceback" not in product.log()


def test_health_tells_what_is_there(product: Product) -> None:
    status, said = Caller(product).call("GET", "api/health/")
    assert status == 200
    assert (said["status"], said["database"], said["redis"]) == ("healthy", "connected", "not configured")
    assert said["engine"]["status"] == "ok"
    assert (said["embedding_service"] == "loaded") == (said["embedding_dim"] > 0)
    assert said["groq_api_configured"] is False
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])
    assert Caller(product).call("GET", "api/health/live/") == (200, {"status": "alive"})


def test_health_is_503_where_something_is_down(tmp_path: Path) -> None:
    away: Any = {
        "MIVA_ENGINE_URL": "ws://127.0.0.1:1/ws/chat",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "GROQ_API_KEY": "key",
    }
    with Product(tmp_path, SECRET_KEY="x" * 50, ALLOWED_HOSTS="127.0.0.1", **away) as product:
        status, said = Caller(product).call("GET", "api/health/")
        assert status == 503
        assert (said["status"], said["database"], said["redis"]) == ("unhealthy", "connected", "down")
        assert said["engine"]["status"] == "down"
        assert said["groq_api_configured"] is True
        assert Caller(product).call("GET", "api/health/live/")[0] == 200
        # Nor does a Redis that is down keep anybody out, or anything uncounted.
        guesses = [Caller(product).post("api/login/", username="zoe", password="guess")[0] for _ in range(11)]
        assert guesses == [401] * 10 + [429]
        assert "secret" not in json.dumps(said)
