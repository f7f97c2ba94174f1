"""The engine as a process: how it starts, stops, and takes another one's place."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.running import PATIENCE_S, ROOT, Engine
from tests.engine.wrapping import plain, wrap


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "miva.engine", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False
    )


def test_it_says_where_it_listens(data: Path, tmp_path: Path) -> None:
    with Engine(data) as engine:
        assert engine.line.startswith("Engine listening on ws://127.0.0.1:")
    with Engine(data, socket=tmp_path / "e.sock") as engine:
        assert engine.line == f"Engine listening on {tmp_path / 'e.sock'}"


def test_it_goes_when_its_standard_input_closes(data: Path) -> None:
    engine = Engine(data)
    assert engine.process.poll() is None
    assert engine.stop() == ""
    assert engine.process.returncode == 0


async def test_it_goes_at_once_even_in_the_middle_of_long_work(data: Path) -> None:
    engine = Engine(data)
    async with engine.open() as client:
        long = plain("\n".join(f"Entry {i} is about nothing at all." for i in range(100_000)))
        await client.send(message=wrap("nothing?", [long]), unique_id=1, stream=True)
        assert await client.get() == {"type": "thinking"}
        engine.stop()
        assert engine.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(data: Path, number: signal.Signals) -> None:
    with Engine(data) as engine:
        async with engine.open() as client:
            await client.ask("hello")
            engine.process.send_signal(number)
            assert engine.process.wait(PATIENCE_S) == 0


async def test_a_newer_engine_takes_the_socket_and_the_older_leaves_it_alone(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    older = Engine(data, socket=path)
    async with older.open() as early:
        assert (await early.ask("hello"))["type"] == "chat"
        with Engine(data, socket=path) as newer:
            assert (await early.ask("hello"))["type"] == "chat"
            older.stop()
            async with newer.open() as late:
                assert (await late.ask("hello"))["type"] == "chat"
    assert path.is_socket()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("e.sock")] == ["e.sock"]


def test_the_socket_and_the_documents_are_this_users_alone(data: Path, tmp_path: Path) -> None:
    with Engine(data, socket=tmp_path / "e.sock"):
        assert stat.S_IMODE((tmp_path / "e.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in data.rglob("*"))


def test_an_engine_killed_before_is_no_obstacle(data: Path, tmp_path: Path) -> None:
    first = Engine(data, socket=tmp_path / "e.sock")
    first.process.kill()
    first.process.communicate()
    with Engine(data, socket=tmp_path / "e.sock") as second:
        assert second.process.poll() is None


def test_bad_arguments_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = ("--data", str(tmp_path / "data"))
    refused = {
        ("--data", str(tmp_path / "file")): "cannot be used as a folder",
        (*data, "--port", "70000"): "--port must be from 0 to 65535",
        (*data, "--port", "http"): "invalid int value",
        (*data, "--socket", str(tmp_path / ("x" * 120))): "too long for a Unix socket",
        (*data, "--socket", str(tmp_path / "none" / "e.sock")): "does not exist",
        (*data, "--socket", str(tmp_path / "file")): "exists and is not a socket",
        (*data, "--wait-for-documents", "-1"): "must be more than 0",
        (*data, "--host", "203.0.113.7", "--port", "0"): "Cannot listen on 203.0.113.7:0",
        (): "--data",
    }
    for arguments, words in refused.items():
        result = run(*arguments)
        assert result.returncode in (1, 2), arguments
        assert words in result.stderr
        assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_port_in_use_is_said_in_words(data: Path) -> None:
    with Engine(data) as engine:
        port = engine.line.rstrip("/").rsplit(":", 1)[1]
        result = run("--data", str(data), "--port", port)
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_loads_neither_django_nor_the_rest_of_miva() -> None:
    code = "import sys, miva.engine.server; print([m for m in sys.modules if m.split('.')[0] in ('django', 'miva')])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "miva.engine.session" in loaded
    assert "django" not in loaded
    assert not [m for m in loaded.split("'") if m.startswith("miva.") and not m.startswith("miva.engine")]
