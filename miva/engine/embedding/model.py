"""Texts to vectors: `Embedder`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from miva.engine.embedding.prepared import prepare
from miva.engine.embedding.session import Session
from miva.engine.embedding.tokens import Tokens
from miva.engine.embedding.weights import TOKENIZER
from miva.engine.vectors import DIMENSION, Vectors

BATCH_TOKENS = 128
"""What one run of the model may hold, padding included; a longer text runs alone.

Measured in microseconds a token, int8: 12 tokens alone 82, 10 such texts together 47, 170 together 63; 128 tokens alone
58, 16 such texts together 71. More together gains nothing, then loses: intermediate results leave the cache.
"""


class Stopped(Exception):
    """`embed` was told to stop; what it had done is thrown away."""


class Embedder:
    """The sentence embedding all-MiniLM-L6-v2 on the processor, one thread a call. Safe to use from several threads."""

    dimension: Final = DIMENSION

    def __init__(self, session: Session, tokens: Tokens) -> None:
        self._session = session
        self._tokens = tokens

    @classmethod
    def load(cls, folder: Path) -> Embedder:
        """The model, ready to use; its file is kept in `folder` and written there first where it is missing or damaged.

        That takes about a second once, later starts a tenth of one. Raises `ModelMissing` when the packages that
        hold the model are not installed as expected, OSError when the file cannot be written.
        """
        tokens = Tokens(TOKENIZER.find())
        return cls(Session(prepare(folder, tokens)), tokens)

    def embed(self, texts: Sequence[str], *, stop: Callable[[], bool] | None = None) -> Vectors:
        """The texts' vectors in the texts' order: float32 [texts, 384], each of length 1, also an empty text's.

        A text is read as far as its 256th token. `stop` is asked before every run of the model (about 10 ms); when it
        says yes, `Stopped` is raised. With int8 a short text's vector depends a little on the others in its run (its
        cosine to what it is alone is 0.99); one of more than 64 tokens runs alone and is always the same.
        """
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for places, batch in self._batches(texts, stop):
            vectors[places] = self._session.run(batch)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each whole text has, without the two marks that the model adds (256 with them are read)."""
        return [self._tokens.count(text) for text in texts]

    def _batches(
        self, texts: Sequence[str], stop: Callable[[], bool] | None
    ) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Texts of like length together, as their places in `texts` and their token numbers."""

        def go_on() -> None:
            if stop is not None and stop():
                raise Stopped

        numbers = []
        for text in texts:
            go_on()
            numbers.append(self._tokens.numbers(text))
        places: list[int] = []
        for place in sorted(range(len(texts)), key=lambda place: len(numbers[place])):
            if places and (len(places) + 1) * len(numbers[place]) > BATCH_TOKENS:
                go_on()
                yield places, [numbers[p] for p in places]
                places = []
            places.append(place)
        if places:
            go_on()
            yield places, [numbers[p] for p in places]
