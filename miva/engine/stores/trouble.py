"""What goes wrong with files, as the error that all stores have."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from miva.engine.stores.base import StoreError


@contextlib.contextmanager
def of_files() -> Iterator[None]:
    """For a function that reads or writes files, with SQLite or without: its errors become `StoreError`."""
    try:
        yield
    except (OSError, sqlite3.Error) as why:
        raise StoreError(
            f"The files of documents cannot be used: {why}. Look whether the disk is full, whether another program"
            " holds them, and how many files the engine may open."
        ) from why
