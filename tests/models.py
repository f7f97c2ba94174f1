"""The embedding model's file, made once and lent to what the tests start: making it takes a second of CPU time."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from miva.engine.embedding.model import Embedder

_MADE = Path(__file__).parent / ".artifacts" / "model"


@cache
def _made() -> list[Path]:
    _MADE.mkdir(parents=True, exist_ok=True)
    Embedder.load(_MADE)
    return [path for path in _MADE.iterdir() if path.suffix in (".onnx", ".json")]


def lend_model(data: Path) -> None:
    """Puts the file where an engine that keeps its data in this folder looks for it; does nothing where one is."""
    folder = data / "models"
    if folder.exists():
        return
    for path in (data, folder):
        path.mkdir(exist_ok=True, mode=0o700)
    for path in _made():
        try:
            os.link(path, folder / path.name)  # it is never changed, only replaced
        except OSError:  # on another disk
            shutil.copy2(path, folder)
