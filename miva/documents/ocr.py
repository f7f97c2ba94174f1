"""Reading scanned pages with an OCR program (tesseract), inside an extraction process."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pypdfium2

from . import pdfium_engine, rlimits
from .clean import clean
from .limits import MAX_PIXELS, Limits
from .refusal import Refusal, too_much_text

DPI = 200
_POINTS_PER_INCH = 72


def read(fd: int, job: dict[str, Any], limits: Limits, send: Callable[..., None]) -> None:
    """Sends a page event for each of `job["pages"]` as it is read. Raises Refusal."""
    document, _ = pdfium_engine.open_document(fd, job.get("password"))
    budget = limits.max_characters
    for index in job["pages"]:
        text = _recognise(document, index, str(limits.tesseract))
        budget -= len(text)
        if budget < 0:
            raise Refusal("file_too_large", too_much_text(limits.max_characters))
        send({"event": "page", "index": index}, text)


def _recognise(document: Any, index: int, program: str) -> str:
    try:
        page = document[index]
        width, height = page.get_size()
        # A page of absurd size is rendered smaller rather than refused.
        scale = min(DPI / _POINTS_PER_INCH, math.sqrt(MAX_PIXELS / max(1.0, width * height)))
        bitmap = page.render(scale=scale, grayscale=True)
        row, stride = bitmap.width, bitmap.stride
        pixels = bytes(bitmap.buffer)
        if stride != row:
            pixels = b"".join(pixels[line * stride : line * stride + row] for line in range(bitmap.height))
        picture = b"P5 %d %d 255\n" % (row, bitmap.height) + pixels
        page.close()
    except (pypdfium2.PdfiumError, ValueError):
        return ""
    # A single thread: several make the program slower where pages are read side by side.
    read = subprocess.run(
        [program, "stdin", "stdout", "--dpi", str(round(scale * _POINTS_PER_INCH))],
        input=picture,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        preexec_fn=rlimits.die_with_parent,  # safe: this process has one thread
        check=False,
    )
    return clean(read.stdout.decode(errors="replace"))
