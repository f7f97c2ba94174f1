"""`manage.py engine`: the embedded engine alone, and what its --check tells an engine's author."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.engines import Script, answering, scripted_engine, silent
from tests.processes import free_port
from tests.product import PATIENCE_S, ROOT, Product


async def run(folder: Path, *arguments: str, **settings: str) -> tuple[int | None, str]:
    """`manage.py engine`, called from another folder: the exit code and all that it says."""
    process = await start(folder, *arguments, **settings)
    said, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE_S)
    assert "Traceback" not in said.decode()
    return process.returncode, said.decode()


async def start(folder: Path, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "manage.py"),
        "engine",
        *arguments,
        cwd="/",
        env=Product(folder).environment() | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_the_engine_runs_alone_and_passes_its_own_check(tmp_path: Path) -> None:
    engine = await start(tmp_path, "--port", "0")
    try:
        assert engine.stdout is not None
        line = (await asyncio.wait_for(engine.stdout.readline(), PATIENCE_S)).decode()
        assert line.startswith("Engine listening on ws://127.0.0.1:")
        code, said = await run(tmp_path, "--check", line.split()[-1])
    finally:
        engine.terminate()
        code_of_engine = await engine.wait()
    assert code == 0, said
    assert "keeps documents" in said
    assert said.count("The lighthouse of Ouistreham") == 2, "both questions are answered from the document"
    assert code_of_engine == 0


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (answering('{"message": "In 1905."}'), 0, "frame 1 is untyped, a whole reply: “In 1905.”"),
        (
            answering('{"type": "stream", "content": "In 1905."}', '{"type": "done"}'),
            0,
            "the turn ends with “In 1905.”",
        ),
        (answering('{"type": "error", "message": "No."}'), 1, "the turn fails with engine_error: No."),
        (silent, 1, "FAIL  Plain question"),
    ],
    ids=["untyped", "streamed", "refusing", "silent"],
)
async def test_the_check_tells_how_the_relay_reads_an_engine(
    script: Script, code: int, words: str, tmp_path: Path
) -> None:
    async with scripted_engine(script) as engine:
        result, said = await run(tmp_path, "--check", engine.url, MIVA_ENGINE_TIMEOUT_S="1")
    assert (result, words in said) == (code, True), said
    assert "ok    It takes the connection." in said


async def test_the_check_says_that_nothing_is_there(tmp_path: Path) -> None:
    code, said = await run(tmp_path, "--check", f"ws://127.0.0.1:{free_port()}/")
    assert code == 1
    assert "FAIL  It cannot be connected to" in said
