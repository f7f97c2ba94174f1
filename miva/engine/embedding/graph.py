"""The model as a graph for onnxruntime, made from the packaged weights. Needs `onnx`, once: not when it has been made.

The packaged file holds int8 weights and computes in float32. Here the same weights, with the same scales, are spread to
float32 when the file is loaded, or multiplied as 8 bits; the inputs of each product are rounded to 8 bits on the way,
one scale for a whole batch. Of that there are two kinds, which come to the same: int8, and uint8, which is int8 with
128 added. Processors without instructions for it (x86 before VNNI) add products of int8 in 16 bits, which do not always
hold them (saturation); those of uint8 onnxruntime adds in 32 bits everywhere, which takes a fifth longer there.

What else is done differently was measured (docs: design, section 5): onnxruntime's LayerNormalization takes a sixth of
the time of its SkipLayerNormalization, and a joined product for query, key and value less than three.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from miva.engine.embedding.session import Precision
from miva.engine.embedding.tokens import LONGEST

LAYERS, HEADS, WIDTH, INNER = 6, 12, 384, 1536
_EPSILON = 1e-12
_SIGN = np.uint8(128)
"""What makes int8 of uint8 when it is added, and the other way round."""
_MATRICES = ((WIDTH, WIDTH),) * 4 + ((WIDTH, INNER), (INNER, WIDTH))  # query, key, value, output; in, out


def build(packaged: Path, precision: Precision) -> bytes:
    """The ONNX file: `input_ids` and `attention_mask`, both int64 [batch, tokens], tokens at most `LONGEST`.

    `embedding` is float32 [batch, 384], the mean over the tokens that the mask lets through, of length 1.
    """
    return _Builder(_Weights(packaged), precision).build()


class _Weights:
    """The packaged arrays by name, and the layers' matrices, which have numbers for names, in order of use."""

    def __init__(self, packaged: Path) -> None:
        graph = onnx.load(str(packaged)).graph
        self.arrays: dict[str, NDArray[Any]] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        matrices = [name for name in self.arrays if name.startswith("val_") and name.endswith("_q")]
        if [self.arrays[name].shape for name in matrices] != [*_MATRICES] * LAYERS:
            raise ValueError("The packaged model's matrices are not those of all-MiniLM-L6-v2.")
        self._matrices = [(self.arrays[name], self.arrays[f"{name[:-2]}_scale"][0]) for name in matrices]

    def matrix(self, layer: int, first: int, last: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Matrices `first` to `last` of a layer side by side, int8 [rows, columns], and the scale of each column."""
        parts = self._matrices[layer * len(_MATRICES) :][first : last + 1]
        return np.concatenate([q for q, _ in parts], axis=1), np.concatenate([s for _, s in parts])

    def embedding(self, name: str) -> NDArray[Any]:
        return self.arrays[f"inner.embeddings.{name}"]

    def layer(self, layer: int, name: str) -> NDArray[np.float32]:
        return self.arrays[f"inner.encoder.layer.{layer}.{name}"]


class _Builder:
    def __init__(self, weights: _Weights, precision: Precision) -> None:
        self._weights = weights
        self._precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._numbers: Iterator[int] = iter(range(10_000))

    def build(self) -> bytes:
        state = self._embedded()
        mask = self._node("Cast", "attention_mask", to=TensorProto.INT32)
        for layer in range(LAYERS):
            state = self._layer(layer, state, mask)
        self._pooled(state)
        ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in _INPUTS]
        embedding = helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", WIDTH])
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", ids, [embedding], self._constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_FUSED, 1)]
        content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
        return content

    def _embedded(self) -> str:
        """Word and position vectors, added and normalised. The words' table stays int8 in memory."""
        table = self._weights.embedding
        words = self._node("Gather", self._constant(table("word_embeddings.weight_q")), "input_ids")
        scales = self._node("Gather", self._constant(table("word_embeddings.weight_scale")), "input_ids")
        words = self._node("Mul", self._node("Cast", words, to=TensorProto.FLOAT), scales)
        positions = table("position_embeddings.weight_q") * table("position_embeddings.weight_scale")
        # Every token has type 0, so its vector joins the positions'.
        positions = (positions + table("token_type_embeddings.weight")[0])[:LONGEST].astype(np.float32)
        tokens = self._node("Shape", "input_ids", start=1, end=2)
        zero = self._constant(np.zeros(1, np.int64))
        positions_used = self._node("Slice", self._constant(positions), zero, tokens)
        return self._normalised(
            self._node("Add", words, positions_used), table("LayerNorm.weight"), table("LayerNorm.bias")
        )

    def _layer(self, layer: int, state: str, mask: str) -> str:
        weights = self._weights

        def bias(name: str) -> NDArray[np.float32]:
            return weights.layer(layer, f"{name}.bias")

        def normalised(value: str, name: str) -> str:
            return self._normalised(value, weights.layer(layer, f"{name}.LayerNorm.weight"), bias(f"{name}.LayerNorm"))

        joined = np.concatenate([bias(f"attention.self.{part}") for part in ("query", "key", "value")])
        attention = self._product(state, weights.matrix(layer, 0, 2), joined)
        thirds = self._split(attention)
        attention = self._node("MultiHeadAttention", *thirds, "", mask, domain=_FUSED, num_heads=HEADS)
        attention = self._product(attention, weights.matrix(layer, 3, 3), bias("attention.output.dense"))
        state = normalised(self._node("Add", attention, state), "attention.output")
        inner = self._product(state, weights.matrix(layer, 4, 4), bias("intermediate.dense"))
        inner = self._node("Gelu", inner, domain=_FUSED)
        inner = self._product(inner, weights.matrix(layer, 5, 5), bias("output.dense"))
        return normalised(self._node("Add", inner, state), "output")

    def _pooled(self, state: str) -> None:
        """The sum over the tokens, cut to length 1: the same as the mean's, without dividing first."""
        one = self._constant(np.ones(1, np.int64))
        row = self._node("Unsqueeze", self._node("Cast", "attention_mask", to=TensorProto.FLOAT), one)
        total = self._node("Squeeze", self._node("MatMul", row, state), one)
        self._node("LpNormalization", total, out=_OUTPUT, axis=1, p=2)

    def _product(
        self, value: str, matrix: tuple[NDArray[np.int8], NDArray[np.float32]], bias: NDArray[np.float32]
    ) -> str:
        weights: NDArray[Any] = matrix[0]
        scales, added = self._constant(matrix[1]), self._constant(bias)
        if self._precision == "fp32":
            # Folded into one float32 matrix when onnxruntime loads the file, which so stays as small as the others.
            exact = self._node("Mul", self._node("Cast", self._constant(weights), to=TensorProto.FLOAT), scales)
            return self._node("Add", self._node("MatMul", value, exact), added)
        zero = ""  # none: the weights are symmetric
        if self._precision == "uint8":
            weights, zero = weights.view(np.uint8) ^ _SIGN, self._constant(np.array(_SIGN))
        return self._node("DynamicQuantizeMatMul", value, self._constant(weights), scales, zero, added, domain=_FUSED)

    def _normalised(self, value: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        return self._node(
            "LayerNormalization", value, self._constant(weight), self._constant(bias), axis=-1, epsilon=_EPSILON
        )

    def _split(self, value: str) -> list[str]:
        names = [self._name() for _ in range(3)]
        widths = self._constant(np.full(3, WIDTH, np.int64))
        self._nodes.append(helper.make_node("Split", [value, widths], names, axis=2))
        return names

    def _node(self, operator: str, *inputs: str, domain: str = "", out: str = "", **attributes: Any) -> str:
        out = out or self._name()
        self._nodes.append(helper.make_node(operator, inputs, [out], domain=domain, **attributes))
        return out

    def _constant(self, array: NDArray[Any]) -> str:
        name = self._name()
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _name(self) -> str:
        return f"v{next(self._numbers)}"


_FUSED = "com.microsoft"  # onnxruntime's own operators
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "embedding"
