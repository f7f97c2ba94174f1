"""One loaded model: onnxruntime on one thread, with memory that does not grow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Precision = Literal["int8", "uint8", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("int8", "uint8", "fp32")
"""How a model's matrices are multiplied; the quickest first, on most processors."""

_ONLY_ERRORS = 3


class Session:
    """A model that `graph.build` made, as a file's path or its bytes. Safe to use from several threads."""

    def __init__(self, model: Path | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of the memory would be kept for every shape that was ever asked for.
        options.enable_mem_pattern = False
        # The graph is fused by hand; going further would put the slow layer normalisation back.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = _ONLY_ERRORS
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )

    def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
        """The vectors of some texts, given as token numbers: float32 [texts, 384], each of length 1."""
        longest = max(map(len, texts))
        numbers = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros_like(numbers)
        for row, text in enumerate(texts):
            numbers[row, : len(text)] = text
            mask[row, : len(text)] = 1
        vectors: NDArray[np.float32] = self._session.run(None, {"input_ids": numbers, "attention_mask": mask})[0]
        return vectors
