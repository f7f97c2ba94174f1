"""The text of each page as the product has it: `python -m benchmarks.evaluation.page_texts OUT FILE …`.

Read in a process and a data folder of its own by the same reader that the server uses, so that a quote's place is
looked up in what the engine was given, and not in what the engine says that it was given.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import ROOT
from benchmarks.processes import inherited_environment

_LIMIT_S = 600.0


def page_texts(paths: Sequence[Path], folder: Path) -> list[tuple[str, ...]]:
    """The pages' texts of each file, in order; `folder` is for what is written meanwhile. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="texts-", dir=folder) as own:
        out = Path(own) / "texts.json"
        environment = inherited_environment() | {"MIVA_DATA_DIR": str(Path(own) / "data"), "MIVA_OCR": "off"}
        command = [sys.executable, "-m", "benchmarks.evaluation.page_texts", str(out), *map(str, paths)]
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=_LIMIT_S)
        if done.returncode:
            raise RuntimeError(f"The files could not be read:\n{done.stderr[-3000:]}")
        return [tuple(pages) for pages in json.loads(out.read_text())]


def main() -> None:
    """Reads the files named on the command line and writes their texts."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")
    import django

    django.setup()
    out, paths = Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]]
    out.write_text(json.dumps(asyncio.run(_read(paths))))


async def _read(paths: Sequence[Path]) -> list[tuple[str, ...]]:
    from miva.documents import reader  # not before Django is set up

    found = []
    try:
        for path in paths:
            received = await asyncio.to_thread(
                reader.receive_chunks, [path.read_bytes()], name=path.name, declared="application/pdf"
            )
            found.append((await reader.read(received)).pages)
            received.discard()
    finally:
        reader.stop()
    return found


if __name__ == "__main__":
    main()
