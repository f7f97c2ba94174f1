"""The embedded engine as a child of the relay: one per machine, up again when it dies, gone when the relay goes."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import urllib.request
from pathlib import Path

from tests.operations.servers import is_up, uvicorn
from tests.operations.talk import (
    alive,
    ask_numbered,
    ask_plainly,
    command_line,
    engines_for,
    eventually,
    open_socket,
    readers_below,
)
from tests.pdfs import make_pdf
from tests.processes import parent, process_tree
from tests.product import PATIENCE_S, Product
from tests.redis_server import RedisServer

GONE_S = 10.0


async def test_a_dead_engine_is_started_again_and_goes_with_the_relay_also_where_the_data_folder_has_a_long_name(
    tmp_path: Path,
) -> None:
    product = Product(tmp_path / ("a-folder-with-a-long-name-" * 5))
    assert len(str(product.data)) > 108, "longer than the address of a Unix socket may be"
    try:
        product.start()
        assert product.process is not None
        async with open_socket(product.socket_url) as first, open_socket(product.socket_url) as second:
            assert "message" in await ask_plainly(first, "Who is there?")
            (engine,) = engines_for(product.data)
            os.kill(engine, signal.SIGKILL)
            answers = await asyncio.gather(ask_plainly(first, "And now?"), ask_plainly(second, "And to me?"))
            assert ["message" in answer for answer in answers] == [True, True], answers
            (other,) = engines_for(product.data)
            assert other != engine
            parts = [other, *readers_below(product.process.pid)]
            assert len(parts) >= 2
            product.process.kill()  # the relay alone, without a warning
            await eventually(lambda: not alive(parts), GONE_S)
    finally:
        product.kill()


async def test_everybody_reads_their_own_name_of_a_file_that_others_have_too(tmp_path: Path) -> None:
    """The engine keeps a content once, whatever its owners call it."""
    content = base64.b64encode(make_pdf(["The wombat weighs 3 kg.", "It lives on an island."])).decode()

    def named(*names: str) -> list[dict[str, str]]:
        return [{"name": name, "type": "application/pdf", "content": content} for name in names]

    product = Product(tmp_path)
    try:
        product.start()
        guests = [
            {"Cookie": f"sessionid={guest_session(product)}", "Origin": product.url.rstrip("/")} for _ in range(2)
        ]
        first, second = (open_socket(product.socket_url, "miva.v1", additional_headers=guest) for guest in guests)
        async with first as anna, second as bert:
            told = (await ask_numbered(anna, "What is inside?", files=named("Dismissal of Anna.pdf")))[-1]
            assert told["text"].startswith("Dismissal of Anna.pdf has 2 pages")
            for question, words in (
                ("What is inside?", "two.pdf has 2 pages"),
                ("Where are elephants in Rome?", "I did not find this in two.pdf"),
            ):
                told = (await ask_numbered(bert, question, files=named("two.pdf", "three.pdf")))[-1]
                assert told["text"].startswith(words)
                assert "Anna" not in str(told)
            told = (await ask_numbered(bert, "How heavy is the wombat?", files=named("four.pdf")))[-1]
            assert told["sources"][0]["name"] == "four.pdf"
    finally:
        product.kill()


def guest_session(product: Product) -> str:
    """The cookie of a new visitor."""
    with urllib.request.urlopen(product.url, timeout=PATIENCE_S) as page:
        (cookie,) = [value for value in page.headers.get_all("Set-Cookie") if value.startswith("sessionid=")]
        return str(cookie).partition("=")[2].partition(";")[0]


async def test_two_workers_start_on_a_fresh_folder_with_one_engine_and_another_takes_it_over(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    production = {"REDIS_URL": redis_server.url, "SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "127.0.0.1"}
    product = Product(tmp_path, **production)
    with uvicorn(product, "--workers", "2") as supervisor:
        await eventually(lambda: product.log().count("Application startup complete") == 2, 2 * PATIENCE_S)
        await eventually(lambda: is_up(product), PATIENCE_S)
        (engine,) = engines_for(product.data)
        owner = parent(engine)
        assert owner in process_tree(supervisor.pid)
        os.kill(owner, signal.SIGKILL)
        await eventually(lambda: engines_for(product.data) not in ([], [engine]), PATIENCE_S)
        (other,) = engines_for(product.data)
        assert parent(other) != owner
        async with open_socket(product.socket_url) as socket:
            assert "message" in await ask_plainly(socket, "Who is there?")
        parts = process_tree(supervisor.pid)
        assert sum("miva.engine" in command_line(pid) for pid in parts) == 1
    await eventually(lambda: not alive(parts), GONE_S)
    assert product.log().count("The database was brought up to date") == 1, "two workers must not both migrate"
    assert "Traceback" not in product.log()
