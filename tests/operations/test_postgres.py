"""A PostgreSQL that is empty, away or hung: what the operator reads, what health says, and what visitors are told."""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.operations.talk import ask_plainly, call, eventually, open_socket
from tests.postgres_server import PostgresServer
from tests.processes import free_port
from tests.product import PATIENCE_S, Product, command_for
from tests.test_settings import run

ENGINE = "ws://127.0.0.1:1/ws/chat"
"""None: these tests ask nothing."""
PRODUCTION: dict[str, Any] = {"SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "127.0.0.1"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def page(product: Product) -> tuple[int, str]:
    """The chat page's status and text."""
    try:
        with urllib.request.urlopen(product.url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


async def refused_with(product: Product) -> tuple[int, str]:
    """How a new socket is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(product.socket_url)
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


def said_by(product: Product, since: int = 0) -> str:
    log = product.log()[since:]
    assert "Traceback" not in log, log
    assert "never retrieved" not in log, log
    return log


@pytest.mark.parametrize("kind", ["uvicorn", "daphne", "serve"])
def test_a_database_that_is_not_migrated_is_told_at_the_start(
    kind: str, server: PostgresServer, tmp_path: Path
) -> None:
    product = Product(tmp_path, DATABASE_URL=server.new_database(), MIVA_ENGINE_URL=ENGINE)
    done = run(command_for(kind, product.port)[1:], product.environment())
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None)
    assert "The database is not migrated: " in said
    assert "Run `python manage.py migrate`." in said
    assert "Traceback" not in said


async def test_a_database_that_comes_late_and_empty_is_told_by_health(tmp_path: Path) -> None:
    late = PostgresServer(port=free_port())
    url = f"postgresql://postgres@127.0.0.1:{late.port}/postgres"
    try:
        with Product(tmp_path, DATABASE_URL=url, MIVA_ENGINE_URL=ENGINE, DEBUG="off", **PRODUCTION) as product:
            assert "The database cannot be reached yet: " in said_by(product)
            await asyncio.to_thread(late.start)
            health = product.url + "api/health/"
            await eventually(lambda: call(health)[1]["database"] == "not migrated")
            assert call(health)[0] == 503
            assert "The server's database is not migrated." in product.run("doctor").stdout
            assert product.run("migrate").returncode == 0
            await eventually(lambda: call(health)[1]["database"] == "connected")
    finally:
        late.close()


async def test_a_database_that_goes_away_is_a_line_in_the_log_and_a_page_that_says_so(tmp_path: Path) -> None:
    server = PostgresServer(port=free_port()).start()
    try:
        url = server.new_database() + "?connect_timeout=2"
        settings = {"DATABASE_URL": url, "MIVA_ENGINE_URL": ENGINE, "DEBUG": "off", **PRODUCTION}
        product = Product(tmp_path, MIVA_ANONYMOUS="on", **settings)
        product.application = "tests.operations.impatient:application"
        assert product.run("migrate").returncode == 0
        with product:
            assert page(product)[0] == 200
            async with contextlib.AsyncExitStack() as open_ones:  # many, so that all threads have a connection
                sockets = [await open_ones.enter_async_context(open_socket(product.socket_url)) for _ in range(8)]
                server.pause()
                assert call(product.url + "api/health/")[1]["database"] == "down"
                tried = [refused_with(product) for _ in range(40)]
                found = await asyncio.wait_for(asyncio.gather(*tried), PATIENCE_S)
                assert found == [(503, "The database cannot be reached. Please try again in a moment.")] * 40
                frames = await asyncio.gather(*[ask_plainly(socket, "Well?") for socket in sockets])
                assert {frame["code"] for frame in frames} <= {"busy", "engine_unavailable"}
            server.go_on()
            await eventually(lambda: call(product.url + "api/health/")[1]["database"] == "connected")
            said_by(product)

            server.kill()
            await eventually(lambda: page(product)[0] == 503)
            before = len(product.log())
            status, text = page(product)
            assert (status, "The database cannot be reached." in text) == (503, True)
            await eventually(lambda: "the database failed: " in product.log()[before:])
            await asyncio.sleep(3)
            product.stop()
        log = said_by(product)
        assert log.count("does not let turns be looked after") <= 2, log  # hung, and away
        assert log.count("The database does not answer (") == log.count("The database answers again") == 1, log
        assert "What runs here could not be handed over (" in log
        assert [line for line in log.splitlines() if line.startswith("\t")] == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.close()


def test_a_server_that_waits_for_its_database_begins_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    with Product(tmp_path, DATABASE_URL=url, MIVA_ENGINE_URL=ENGINE) as product:
        assert time.monotonic() - began < PATIENCE_S
        assert call(product.url + "api/health/")[1]["database"] == "down"
