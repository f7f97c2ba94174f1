"""The management commands that a newcomer types first, on an empty data folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.processes import process_tree
from tests.product import PATIENCE_S, ROOT, START_S, Product

ARGUMENTS = ["--noinput", "--email", "Root@example.org", "--username", "root"]


def test_createsuperuser_works_as_the_very_first_command(tmp_path: Path) -> None:
    product = Product(tmp_path, DJANGO_SUPERUSER_PASSWORD="a long story about pears")
    first = product.run("createsuperuser", *ARGUMENTS)
    assert first.returncode == 0, first.stderr
    assert "unapplied" not in first.stdout + first.stderr
    assert "Superuser created successfully." in first.stdout
    again = product.run("createsuperuser", "--noinput", "--email", "new@example.org", "--username", "ROOT")
    assert again.returncode == 1
    assert "Traceback" not in again.stderr
    assert "already" in again.stderr


def test_runserver_with_its_reloader_migrates_and_starts_one_engine(tmp_path: Path) -> None:
    product = Product(tmp_path, DEBUG="on")
    log_path = tmp_path / "server.log"
    command = [sys.executable, "manage.py", "runserver", f"127.0.0.1:{product.port}"]
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=product.environment(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(product.url + "api/health/", timeout=5) as answer:
                assert answer.status == 200
                break
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(product.url + "static/style.css") as answer:
            assert answer.status == 200
        engines = [pid for pid in process_tree(server.pid) if "miva.engine" in command_line(pid)]
        assert len(engines) == 1
        assert "unapplied" not in log_path.read_text()
        assert "Warning" not in log_path.read_text()
        os.killpg(server.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
        server.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while any("miva.engine" in command_line(pid) for pid in engines):
            assert time.monotonic() < deadline, "the engine outlived its server"
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
