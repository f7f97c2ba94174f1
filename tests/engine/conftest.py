"""The engine's tests talk to a real engine process over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.running import Engine
from tests.models import lend_model


def data_folder(folder: Path) -> Path:
    """A data folder for an engine, below `folder`."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    lend_model(data)
    return data


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests that do not stop or replace it."""
    folder = tmp_path_factory.mktemp("engine")
    with Engine(data_folder(folder), socket=folder / "e.sock") as engine:
        yield engine


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of the test's own, in which the embedding model need not be prepared again."""
    return data_folder(tmp_path)
