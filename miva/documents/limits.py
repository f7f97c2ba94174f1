"""The bounds under which a file is read, in a form that every process of the pool can hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

MAX_CHARACTERS = 5_000_000
"""Characters of text taken from one file; more is refused (design section 4)."""

MAX_PIXELS = 20_000_000
"""Pixels of one rendered page; a larger page is rendered at a lower resolution (design section 4)."""

SECOND_OPINION_S = 5.0
"""Seconds that the second extractor may spend on one file (design section 4)."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one reading may cost. Sizes are bytes unless the name says otherwise, times are seconds."""

    max_file_bytes: int = 50 * 2**20
    max_pages: int = 5000
    max_characters: int = MAX_CHARACTERS
    engines: tuple[str, ...] = ("pdfium", "pypdf2")
    timeout_s: float = 60.0
    stall_s: float = 10.0
    second_opinion_s: float = SECOND_OPINION_S
    memory_mb: int = 1024
    workers: int = 2
    jobs_per_worker: int = 100
    max_waiting: int = 128
    max_wait_s: float = 120.0
    tesseract: str | None = None
    """Path of the OCR program, or None where scanned pages are not read."""

    def to_json(self) -> str:
        """The limits as one line of JSON, for the command line of a child process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        values["engines"] = tuple(values["engines"])
        return cls(**values)
