"""The model's file for this processor: written once, the fastest of three kinds, and checked at every start.

Beside it a small file per processor remembers what was chosen and why, so that machines of different kinds may share
the folder. Everything is written under a temporary name and renamed: of two processes that prepare at once, each finds
a whole file, whoever was last.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from miva.engine.embedding.session import PRECISIONS, Precision, Session
from miva.engine.embedding.tokens import Tokens
from miva.engine.embedding.weights import WEIGHTS

_MODEL = "all-MiniLM-L6-v2"
_GRAPH = 2  # counts the forms of what `graph.build` makes: with a new one, files are written anew
_PREFIX = f"{_MODEL}-{_GRAPH}-{WEIGHTS.sha256[:12]}"

LEAST_AGREEMENT = 0.98
"""Eight bits are taken only if their vectors' mean cosine to float32's is at least this."""
SATURATED = 0.0005
"""Where int8's falls short of uint8's by more than this, its sums did not fit: they are the same numbers."""

_ROUNDS = 5
_STALE_S = 3600

SAMPLE = (
    "Who wrote the history of the Roman empire?",
    "The invoice is due within thirty days of receipt; interest of 1.5 % a month applies after that.",
    "Mitochondria convert nutrients into adenosine triphosphate, the cell's main source of chemical energy.",
    "Press and hold the power button for ten seconds until the light turns amber, then release it.",
    "In 1969 the first message was sent over a network of four computers in California and Utah.",
    "Wie hoch ist die Miete im zweiten Jahr?",
    "Le contrat peut être résilié par l'une ou l'autre des parties avec un préavis de trois mois.",
    "図書館は月曜日を除く毎日午前九時から午後六時まで開いています。",
)
"""What all kinds are tried on."""


@dataclass(frozen=True)
class Choice:
    """What was chosen on a processor, of a file with this SHA-256; CPU times are of one text of about 150 tokens, and
    agreement is the mean cosine to float32's vectors."""

    precision: Precision
    sha256: str
    cpu_ms: dict[Precision, float]
    agreement: dict[Precision, float]


def prepare(folder: Path, tokens: Tokens) -> Path:
    """The model's file below `folder`, which is made if missing; written first where it is not there or damaged.

    Raises `ModelMissing` when it must be written and the packaged weights are not there, OSError when it cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    choice = _remembered(folder)
    if choice is None:
        choice = _choose(folder, tokens)
        _give_back_memory()
    return _path(folder, choice.precision)


def _remembered(folder: Path) -> Choice | None:
    """The choice made earlier, if its file is still the one that was written."""
    try:
        choice = Choice(**json.loads(_choice_path(folder).read_text()))
        content = _path(folder, choice.precision).read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return choice if hashlib.sha256(content).hexdigest() == choice.sha256 else None


def _choose(folder: Path, tokens: Tokens) -> Choice:
    """Make all kinds, try them here, and write the best one and the choice."""
    from miva.engine.embedding.graph import build  # brings `onnx`, which nothing needs after this

    packaged = WEIGHTS.find()
    sample = [tokens.numbers(text) for text in SAMPLE]
    one_text = [[number for text in sample for number in text][:150]]
    vectors: dict[Precision, NDArray[np.float32]] = {}
    cpu_ms: dict[Precision, float] = {}
    for precision in PRECISIONS:
        session = Session(build(packaged, precision))
        vectors[precision] = np.concatenate([session.run([text]) for text in sample])
        cpu_ms[precision] = round(min(_cpu_ms(session, one_text) for _ in range(_ROUNDS)), 2)
        del session  # with two at once, and all files kept, the process holds 301 MB at most, and so 225
    agreement = {
        kind: round(float(np.mean(np.sum(found * vectors["fp32"], axis=1))), 5) for kind, found in vectors.items()
    }
    precision = chosen(cpu_ms, agreement)
    content = build(packaged, precision)
    choice = Choice(precision, hashlib.sha256(content).hexdigest(), cpu_ms, agreement)
    _write(_path(folder, precision), content)
    _write(_choice_path(folder), json.dumps(asdict(choice), indent=2).encode())
    _tidy(folder)
    return choice


def chosen(cpu_ms: dict[Precision, float], agreement: dict[Precision, float]) -> Precision:
    """The fastest kind whose vectors are (nearly) float32's own, and not worsened by the processor."""
    usable = [kind for kind in PRECISIONS if kind == "fp32" or agreement[kind] >= LEAST_AGREEMENT]
    if "int8" in usable and agreement["int8"] < agreement["uint8"] - SATURATED:
        usable.remove("int8")
    return min(usable, key=lambda kind: cpu_ms[kind])


def _cpu_ms(session: Session, texts: list[list[int]]) -> float:
    began = time.thread_time()
    session.run(texts)
    return (time.thread_time() - began) * 1000


def _give_back_memory() -> None:
    """Making all kinds leaves some 150 MB of freed memory with glibc, which would keep it."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # elsewhere there is no such function
        ctypes.CDLL(None).malloc_trim(0)


def _path(folder: Path, precision: Precision) -> Path:
    return folder / f"{_PREFIX}-{precision}.onnx"


def _choice_path(folder: Path) -> Path:
    return folder / f"{_PREFIX}-{_processor()}.json"


def _processor() -> str:
    """Names what the times depend on: the processor with its abilities, and onnxruntime's version."""
    known = [platform.machine(), onnxruntime.__version__]  # platform.processor() would run a program
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known += sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_MODEL, suffix=".tmp", delete=False) as draft:
        try:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _tidy(folder: Path) -> None:
    """Remove the files of other versions, and drafts of processes that were killed while they wrote."""
    for path in folder.glob(f"{_MODEL}*"):
        with contextlib.suppress(OSError):
            old = path.stat().st_mtime < time.time() - _STALE_S
            if old and (path.suffix == ".tmp" or not path.name.startswith(_PREFIX)):
                path.unlink()
