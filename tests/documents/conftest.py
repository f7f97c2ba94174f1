"""The reader on a data folder of its own, and pools that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from miva.documents import reader as reader_module
from miva.documents import store
from miva.documents.limits import Limits
from miva.documents.pool import Pool


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    """An empty data folder that the settings and the storage point at."""
    settings.MIVA_DATA_DIR = tmp_path
    storage = {**settings.STORAGES["default"]}
    storage["OPTIONS"] = {**storage.get("OPTIONS", {}), "location": tmp_path}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    settings.MIVA_PDF_WORKERS = 2
    settings.MIVA_OCR = "off"
    return tmp_path


@pytest.fixture
def reader(data_dir: Path) -> Iterator[Any]:
    """The reader module with a pool of its own."""
    reader_module.stop()
    store.empty_cache()
    yield reader_module
    reader_module.stop()


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Pool]]:
    """Makes pools with the limits that are named; all are stopped at the end."""
    pools: list[Pool] = []

    def make(**limits: Any) -> Pool:
        pools.append(Pool(Limits(**{"workers": 1, **limits})))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop()
