"""Each command of the contract alone, with nothing configured, in a fresh data folder."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.operations.servers import is_up
from tests.operations.talk import (
    alive,
    ask_numbered,
    ask_plainly,
    call,
    engines_for,
    eventually,
    open_socket,
    open_unix_socket,
    readers_below,
)
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S, ROOT, Product, command_for

STOP_S = 10.0
TWO_MEGABYTES = 2 * 2**20


def bare(product: Product) -> dict[str, str]:
    """The settings of a user who has set nothing but where the data lies (several tests run side by side)."""
    return {name: value for name, value in product.environment().items() if name not in ("MIVA_RATE", "MIVA_SOCKETS")}


def pdf_file() -> dict[str, str]:
    pdf = make_pdf(["The lighthouse of Ouistreham was lit in 1905."], size=TWO_MEGABYTES)
    return {"name": "lighthouse.pdf", "type": "application/pdf", "content": base64.b64encode(pdf).decode()}


@pytest.mark.parametrize("server", ["uvicorn", "daphne", "runserver", "serve"])
async def test_a_server_alone_answers_a_question_about_a_pdf_and_leaves_nothing_behind(
    server: str, tmp_path: Path
) -> None:
    product = Product(tmp_path, server)
    product.is_first_start = True
    try:
        product.start()
        assert product.process is not None
        async with open_socket(product.socket_url) as plain, open_socket(product.socket_url, "miva.v1") as numbered:
            answer = await ask_plainly(plain, "When was the lighthouse lit?", file=pdf_file())
            assert "1905" in answer["message"]
            frames = await ask_numbered(numbered, "What is inside?")
            assert (frames[0]["type"], frames[-1]["type"]) == ("accepted", "done")
            status, health = call(product.url + "api/health/")
            assert (status, health["status"]) == (200, "healthy")
            with urllib.request.urlopen(product.url + "static/app.js") as script:
                assert script.status == 200
            parts = engines_for(product.data) + readers_below(product.process.pid)
            assert len(parts) >= 2
        code = product.stop()
        assert code in ({0} if server == "serve" else {0, -signal.SIGTERM}), product.log()
        await eventually(lambda: not alive(parts), STOP_S)
        assert "Traceback" not in product.log()
    finally:
        product.kill()


def takes_connections(path: Path) -> bool:
    """Whether somebody listens at a socket's path; that is there a little sooner."""
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


async def test_daphne_serves_on_a_unix_socket(tmp_path: Path) -> None:
    product = Product(tmp_path)
    path = tmp_path / "daphne.sock"
    command = [sys.executable, "-m", "daphne", "-u", str(path), "epsilon.asgi:application"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=bare(product), stdout=log, stderr=log)
    try:
        await eventually(lambda: takes_connections(path))
        async with open_unix_socket(path) as socket:
            answer = await ask_plainly(socket, "When was the lighthouse lit?", file=pdf_file())
            assert "1905" in answer["message"]
    finally:
        server.terminate()
        server.wait(STOP_S)
    assert "Traceback" not in product.log()


async def test_the_development_server_reloads_and_still_runs_one_engine(tmp_path: Path) -> None:
    product = Product(tmp_path)
    command = [sys.executable, "manage.py", "runserver", f"127.0.0.1:{product.port}"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=bare(product), stdout=log, stderr=log, start_new_session=True)
    try:
        await eventually(lambda: is_up(product), 2 * PATIENCE_S)
        async with open_socket(product.socket_url) as socket:
            assert "message" in await ask_plainly(socket, "Who is there?")
        engines = engines_for(product.data)
        assert len(engines) == 1
        os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        server.wait(STOP_S)
        await eventually(lambda: not alive(engines), STOP_S)
    finally:
        server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_make_run_says_one_line_when_it_is_ready_and_stops_all_it_started(
    number: signal.Signals, tmp_path: Path
) -> None:
    product = Product(tmp_path)
    server = subprocess.Popen(
        command_for("serve", 0),
        cwd=ROOT,
        env=bare(product) | {"PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = line.removeprefix("Miva is ready: ").strip()
        assert url.startswith("http://localhost:"), line
        async with open_socket(url.replace("http", "ws") + "ws/chat/") as socket:
            assert "message" in await ask_plainly(socket, "Who is there?", file=pdf_file())
            parts = engines_for(product.data) + readers_below(server.pid)
            assert len(parts) >= 2
            os.killpg(server.pid, number)  # while a socket is open
            rest, complaints = server.communicate(timeout=STOP_S)
        assert (server.returncode, rest) == (0, "")
        assert "Traceback" not in complaints
        assert "The embedded engine ended" not in complaints
        await eventually(lambda: not alive(parts), STOP_S)
    finally:
        server.kill()


def test_make_run_says_in_words_that_the_port_is_taken(tmp_path: Path) -> None:
    product = Product(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = product_run(product, port)
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1, port {port}: another program listens there." in done.stderr
    assert "PORT=8001 make run" in done.stderr
    assert "Traceback" not in done.stderr


def product_run(product: Product, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_for("serve", port),
        cwd=ROOT,
        env=bare(product) | {"PORT": str(port)},
        text=True,
        capture_output=True,
        timeout=2 * PATIENCE_S,
    )


def test_an_administrator_can_be_made_by_the_very_first_command_and_signs_in(tmp_path: Path) -> None:
    product = Product(tmp_path)
    person = {"EMAIL": "alice@example.org", "USERNAME": "alice", "PASSWORD": "correct horse battery"}
    settings = bare(product) | {f"DJANGO_SUPERUSER_{name}": value for name, value in person.items()}
    done = subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput"],
        cwd=ROOT,
        env=settings,
        text=True,
        capture_output=True,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    again = product.run("migrate")
    assert again.returncode == 0
    assert "No migrations to apply" in again.stdout
    with wsgi_server(product):
        status, answer = call(product.url + "api/login/", {"username": "alice", "password": person["PASSWORD"]})
        assert (status, sorted(answer)) == (200, ["access", "refresh", "token"])
        status, health = call(product.url + "api/health/")
        assert (status, health["database"], health["engine"]["status"]) == (200, "connected", "ok")


WSGI_SERVER = """
from wsgiref.simple_server import make_server; from epsilon.wsgi import application; import sys
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""


@contextmanager
def wsgi_server(product: Product) -> Iterator[None]:
    """epsilon/wsgi.py under the WSGI server of the standard library, at the product's address."""
    command = [sys.executable, "-c", WSGI_SERVER, str(product.port)]
    with (product.folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=bare(product), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 2 * PATIENCE_S
        while not is_up(product):
            assert process.poll() is None, product.log()
            assert time.monotonic() < deadline, product.log()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(STOP_S)


def test_what_a_server_made_at_its_start_is_no_work_for_the_garbage_collector(tmp_path: Path) -> None:
    said = "import gc, epsilon.asgi; print(gc.get_freeze_count(), len(gc.get_objects()), gc.isenabled())"
    product = Product(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", said],
        cwd=ROOT,
        env=bare(product),
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    *counts, enabled = done.stdout.split()
    set_aside, looked_at = map(int, counts)
    assert set_aside > 50_000 > 10 * looked_at
    assert enabled == "True"
