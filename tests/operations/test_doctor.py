"""`manage.py doctor` in front of servers and proxies that work, and of those that do not: what it says, in words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from miva.sample_pdf import SENTENCE, sample_pdf
from tests.engines import answering, scripted_engine
from tests.operations.pair import Browser
from tests.operations.proxies import at_most, proxy, renamed, without_upgrade
from tests.operations.servers import uvicorn
from tests.operations.talk import call
from tests.processes import free_port
from tests.product import PATIENCE_S, ROOT, Product


async def doctor(product: Product, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit code and all that the command says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "doctor",
        *arguments,
        cwd=ROOT,
        env=product.environment() | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 3 * PATIENCE_S)
    assert process.returncode is not None
    assert "Traceback" not in said.decode()
    return process.returncode, said.decode()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server as the README starts it."""
    with Product(tmp_path_factory.mktemp("healthy")) as product:
        yield product


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server for people with an account, whose uvicorn was told to take frames of a million bytes."""
    product = Product(tmp_path_factory.mktemp("narrow"), MIVA_ANONYMOUS="off")
    with uvicorn(product, "--ws-max-size", "1000000"):
        yield product


def test_the_sample_is_a_pdf_of_its_size_that_says_its_sentence() -> None:
    pdf = sample_pdf(2 * 2**20)
    assert abs(len(pdf) - 2 * 2**20) < 1000
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    assert document[0].get_textpage().get_text_range().strip() == SENTENCE
    document.close()


async def test_all_is_well(product: Product) -> None:
    code, said = await doctor(product)
    assert code == 0, said
    assert "FAIL" not in said
    assert said.count("ok  ") == 8
    assert "PDF of 2 MB, in one frame, is answered from it" in said
    assert said.endswith("All is well.\n")
    status, documents = call(product.url + "api/document/")
    assert (status, documents) == (200, []), "the doctor leaves no document behind"


async def test_nothing_listens(product: Product) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, said = await doctor(product, "--url", url)
    assert code == 1
    assert f"FAIL  Nothing listens at {url}/" in said
    assert "make run" in said


async def test_a_proxy_that_does_not_pass_the_upgrade(product: Product) -> None:
    async with proxy(product.port, without_upgrade) as url:
        code, said = await doctor(product, "--url", url)
    assert code == 1
    assert "instead of 101" in said
    for line in ("proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", "proxy_read_timeout 1h;"):
        assert line in said
    assert "client_max_body_size" in said


async def test_a_proxy_whose_server_is_gone(product: Product) -> None:
    async with proxy(free_port(), without_upgrade) as url:
        code, said = await doctor(product, "--url", url)
    assert code == 1
    assert "does not reach the server behind it (502)" in said


async def test_a_name_that_is_not_allowed(product: Product) -> None:
    async with proxy(product.port, renamed("chat.example.org")) as url:
        code, said = await doctor(product, "--url", url)
    assert code == 1
    assert "ALLOWED_HOSTS=" in said
    assert "proxy_set_header Host $http_host;" in said


async def test_a_proxy_that_hides_the_name_makes_the_origin_a_strange_one(product: Product) -> None:
    async with proxy(product.port, renamed("localhost")) as url:
        code, said = await doctor(product, "--url", url)
    assert code == 1
    assert "refused with 403" in said
    for word in ("CSRF_TRUSTED_ORIGINS", "X-Forwarded-Proto", "--proxy-headers"):
        assert word in said


async def test_a_frame_that_is_cut_on_its_way(product: Product) -> None:
    async with proxy(product.port, at_most(2**20)) as url:
        code, said = await doctor(product, "--url", url)
    assert code == 1
    assert "A question with a PDF of 2 MB is too large on the way: the connection is dropped without a word" in said
    assert "--ws-max-size 80000000" in said


async def test_whoever_asks_has_to_sign_in(narrow: Product) -> None:
    code, said = await doctor(narrow)
    assert code == 1
    assert "closed with 4401" in said
    assert "MIVA_ANONYMOUS=on" in said


async def test_a_server_that_takes_small_frames_only_is_told_of_with_a_token(narrow: Product) -> None:
    await asyncio.to_thread(Browser().sign_up_and_in, narrow, "alice")
    _, answer = call(narrow.url + "api/login/", {"username": "alice", "password": "correct horse battery"})
    code, said = await doctor(narrow, "--token", answer["token"])
    assert code == 1
    assert "too large on the way: the connection is closed with 1009" in said
    assert "--ws-max-size 80000000" in said
    assert "An uploaded PDF of 2 MB can be asked about" in said, "what does work is told as well"


async def test_an_engine_that_is_down_and_a_redis_that_is(tmp_path: Path) -> None:
    settings = {"MIVA_ENGINE_URL": f"ws://127.0.0.1:{free_port()}/", "MIVA_ENGINE_CONNECT_S": "1"}
    settings |= {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "SECRET_KEY": "k", "ALLOWED_HOSTS": "127.0.0.1"}
    with Product(tmp_path, **settings) as broken:
        code, said = await doctor(broken)
    assert code == 1
    assert "FAIL  The server does not reach Redis." in said
    assert "FAIL  The server does not reach its engine." in said
    assert "engine --check" in said


async def test_an_engine_that_does_not_read_is_told_apart(tmp_path: Path) -> None:
    async with scripted_engine(answering('{"message": "Hello"}')) as engine:
        product = Product(tmp_path, MIVA_ENGINE_URL=engine.url)
        await asyncio.to_thread(product.start)
        try:
            code, said = await doctor(product)
        finally:
            await asyncio.to_thread(product.stop)
    assert code == 1
    assert "is answered, though not with what stands in it" in said


async def test_settings_and_a_database_that_need_a_change(tmp_path: Path) -> None:
    code, said = await doctor(Product(tmp_path), MIVA_RATE="often")
    assert code == 1
    assert "FAIL  MIVA_RATE is “often”" in said
    assert "MIVA_RATE=60/min" in said
    assert "The database is not migrated" in said
    assert "manage.py migrate" in said
    assert "Nothing listens" in said


async def test_an_address_that_is_none(tmp_path: Path) -> None:
    code, said = await doctor(Product(tmp_path), "--url", "chat.example.org")
    assert code == 1
    assert "https://chat.example.org" in said
