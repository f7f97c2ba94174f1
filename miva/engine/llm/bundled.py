"""The bundled model, in a process of its own: started at first need, killed where it does not obey, started again.

JSON lines over pipes. To the process: `{"ask": number, "messages", "temperature", "max_tokens"}`, and
`{"stop": number}` for one that runs. From it: `{"ready": true}` once the model is loaded, then for each question
`{"piece": text}` … and `{"end": "stop" or "length"}`, or `{"failed": words}`; after that another may be asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miva.engine.llm.config import BUNDLED, Endpoint, Patience
from miva.engine.llm.failures import ModelFailed
from miva.engine.llm.task import Ending, Prompt

PROGRAM = (sys.executable, "-m", "miva.engine.llm.bundled_process")
STOP_S = 0.15
"""How long a process that was told to stop may take; then it is killed, and the next question starts another."""
_LOAD_S = 60.0
_MAX_LINE = 1 << 20
_ROOT = Path(__file__).resolve().parents[3]


class BundledModel:
    """One process, one question at a time; the caller sees to the turns."""

    name = BUNDLED

    def __init__(self, endpoint: Endpoint, patience: Patience, program: Sequence[str] = PROGRAM) -> None:
        self._patience = patience
        self._command = [*program, str(endpoint.context_tokens)]
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0
        self._turn = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self._dying: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Start the process and load the model. Raises `ModelFailed` where that does not work."""
        async with self._turn:
            await self._ready()

    async def write(self, prompt: Prompt, ending: Ending) -> AsyncGenerator[str, None]:
        """The answer in pieces as they come; closing the iterator stops the model. Raises `ModelFailed`."""
        async with self._turn:
            process = await self._ready()
            self._asked += 1
            deadline = time.monotonic() + self._patience.total_s
            given, ended = 0, False
            try:
                await self._tell(process, {"ask": self._asked, **asdict(prompt)})
                line = await self._line(process, self._patience.first_s)
                while "piece" in line:
                    given += len(line["piece"])
                    yield line["piece"]
                    left = max(0.0, deadline - time.monotonic())
                    line = await self._line(process, min(left, self._patience.between_s))
                ended = "end" in line or "failed" in line
                if "end" not in line:
                    raise _failed(str(line.get("failed", "it said something unknown")), given)
                ending.cut = line["end"] == "length"
            except _Gone as why:
                self._kill()
                raise _failed(str(why), given) from None
            finally:
                if not ended and self._process is process:
                    # In the background, so that cancelling a question never waits; the next one waits for it.
                    self._ending = asyncio.create_task(self._stop(process, self._asked))

    async def close(self) -> None:
        """End the process, and wait until it is gone."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait([self._ending])
        self._kill()
        if self._dying:
            await asyncio.wait(self._dying)

    async def _ready(self) -> asyncio.subprocess.Process:
        if self._ending is not None:
            await asyncio.wait([self._ending])
            self._ending = None
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._kill()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            limit=_MAX_LINE,
            start_new_session=True,  # Ctrl-C in a terminal is the engine's to handle
        )
        self._process = process
        try:
            line = await self._line(process, _LOAD_S)
        except _Gone as why:
            self._kill()
            raise _failed(str(why), 0) from None
        except BaseException:
            self._kill()
            raise
        if "failed" in line:
            self._kill()
            raise _failed(str(line["failed"]), 0)
        return process

    async def _stop(self, process: asyncio.subprocess.Process, asked: int) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self._tell(process, {"stop": asked})
                while not {"end", "failed"} & set(await self._line(process, STOP_S)):
                    pass
        except (TimeoutError, _Gone, asyncio.CancelledError):
            if self._process is process:
                self._kill()

    async def _tell(self, process: asyncio.subprocess.Process, values: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(values).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # that it is gone is seen where its answer is read
            await process.stdin.drain()

    async def _line(self, process: asyncio.subprocess.Process, patience_s: float) -> dict[str, Any]:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(patience_s):
                line = await process.stdout.readline()
        except TimeoutError:
            raise _Gone(f"it was silent for {patience_s:g} seconds") from None
        except ValueError:
            raise _Gone("it said something endless") from None
        if not line:
            raise _Gone("its process ended; the next question starts it again")
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise _Gone("it said something unknown")
        return values

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            task = asyncio.create_task(_buried(process))
            self._dying.add(task)
            task.add_done_callback(self._dying.discard)


async def _buried(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a process that was killed, and of its pipes."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    with contextlib.suppress(RuntimeError):  # a question that is still being answered reads to the end itself
        while await process.stdout.read(_MAX_LINE):
            pass
    await process.wait()
    with contextlib.suppress(ConnectionError):
        await process.stdin.wait_closed()


class _Gone(Exception):
    """The process cannot be talked to any more; the text says why."""


def _failed(why: str, given: int) -> ModelFailed:
    far = f", after {given} characters of its answer" if given else ""
    return ModelFailed(f"The bundled model failed: {why.rstrip('.')}{far}.")
