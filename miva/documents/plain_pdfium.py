"""What pdfium by itself gets from the PDFs of a folder: the measure for the pool, run as a program of its own.

`python -m miva.documents.plain_pdfium FOLDER` prints a JSON line `{"file", "characters"}` for each file: how many
visible characters, or null where pdfium refused the file, crashed or took longer than 20 seconds. Each file is read in
a process that can be killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

import pypdfium2

_SECONDS = 20
_MEMORY = 2 * 2**30


def main() -> None:
    """Reads every PDF of the folder named on the command line."""
    for path in sorted(Path(sys.argv[1]).glob("*.pdf")):
        sys.stdout.write(json.dumps({"file": path.name, "characters": _in_child(path)}) + "\n")
        sys.stdout.flush()


def _in_child(path: Path) -> int | None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            os.write(theirs, str(_count(path)).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        words = answer.read()
    os.waitpid(child, 0)
    return int(words) if words else None


def _count(path: Path) -> int:
    document = pypdfium2.PdfDocument(path)
    texts = (page.get_textpage().get_text_range() for page in document)
    return sum(mark.isprintable() and not mark.isspace() for text in texts for mark in text)


if __name__ == "__main__":
    main()
