"""Writes what was measured into a page of the documentation, between two marks; the page's other words stay."""

from __future__ import annotations

import datetime
from pathlib import Path


def write_between(page: Path, begin: str, end: str, words: str) -> None:
    """Replaces what stands between the lines `begin` and `end`. Raises RuntimeError where the page has none."""
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise RuntimeError(f"{page} has no place for the table: it needs the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{words}\n{end}{after}")


def today() -> str:
    """The date in UTC, as 2026-11-21."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
