"""One prepared model for all of these tests: it is the packaged one, and takes a second to prepare."""

from __future__ import annotations

from pathlib import Path

import pytest

from miva.engine.embedding.model import Embedder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="session")
def embedder(model_folder: Path) -> Embedder:
    return Embedder.load(model_folder)
