"""Vectors as int8 matrices, one per document, searched with numpy: in files, or in memory for what is not kept.

Exact up to `EXACT_CHUNKS` chunks in one question. Beyond, the signs of the components (48 bytes a vector) choose
candidates by Hamming distance, and only those are compared exactly: a tenth of the processor time at 100,000 chunks
(`make eval INDEX=1` measures it), for nearly all of the true nearest ones (a test holds it to 95 in 100).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miva.engine.stores import trouble
from miva.engine.stores.base import MODEL, NearChunk, VectorStore
from miva.engine.vectors import DIMENSION, SCALE, Bytes, Vectors, dequantise, quantise

EXACT_CHUNKS = 20_000
_CANDIDATES = 2000
_CANDIDATE_SHARE = 20
"""One of so many chunks is a candidate, where that is more."""
_CACHE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Held:
    """A document's rows, and the signs of their components: six words of 64 bits, each word's of all rows together."""

    rows: Bytes
    signs: NDArray[np.uint64]


class MatrixVectors(VectorStore):
    """The search; where the rows are is for the two below to say."""

    @abstractmethod
    def _held(self, document: str) -> _Held: ...

    def count(self, document: str) -> int:
        return len(self._held(document).rows)

    def nearest(self, documents: Sequence[str], question: Vectors, most: int) -> list[NearChunk]:
        held = [(document, self._held(document)) for document in documents]
        total = sum(len(one.rows) for _, one in held)
        share = 1.0 if total <= EXACT_CHUNKS else max(_CANDIDATES, total // _CANDIDATE_SHARE) / total
        found = [
            NearChunk(document, int(chunk), float(cosine))
            for document, one in held
            if len(one.rows)
            for chunk, cosine in zip(*_nearest_of_one(one, question, most, share), strict=True)
        ]
        found.sort(key=lambda near: -near.cosine)
        return found[:most]

    def cosines(self, document: str, chunks: Sequence[int], question: Vectors) -> dict[int, float]:
        rows = self._held(document).rows
        known = [chunk for chunk in chunks if chunk < len(rows)]
        if not known:
            return {}
        cosines = dequantise(rows[known]) @ question[0]
        return dict(zip(known, map(float, cosines), strict=True))


def _nearest_of_one(
    held: _Held, question: Vectors, most: int, share: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    count = len(held.rows)
    candidates: NDArray[np.intp] = np.arange(count)
    wanted = max(most, int(count * share))
    if wanted < count:
        distances = np.zeros(count, np.uint16)
        for word, (asked,) in zip(held.signs, _signs(question), strict=True):
            distances += np.bitwise_count(word ^ asked)
        candidates = np.argpartition(distances, wanted)[:wanted]
    cosines = (held.rows[candidates] if wanted < count else held.rows).astype(np.float32) @ (question[0] / SCALE)
    best = np.argsort(-cosines)[:most]
    return candidates[best], cosines[best]


def _signs(vectors: Vectors | Bytes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.packbits(vectors > 0, axis=1).view(np.uint64).T)


def _hold(rows: Bytes) -> _Held:
    return _Held(rows, _signs(rows))


_NOTHING = _hold(np.zeros((0, DIMENSION), np.int8))


class VectorFiles(MatrixVectors):
    """A file of rows per document, which only grows at its end until it is deleted; the hot ones are kept in memory."""

    def __init__(self, folder: Path, database_url: str = "") -> None:  # noqa: ARG002 (files need no database)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0

    @trouble.of_files()
    def add(self, document: str, first: int, vectors: Vectors) -> None:
        path = self._path(document)
        with self._lock:
            with path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # against another process that embeds the same document
                # A row that was cut short by a power cut is overwritten: the next one begins where a row may begin.
                if os.fstat(file.fileno()).st_size // DIMENSION != first:
                    return
                file.truncate(first * DIMENSION)
                file.write(quantise(vectors).tobytes())
            self._drop(document)

    @trouble.of_files()
    def count(self, document: str) -> int:
        try:
            return self._path(document).stat().st_size // DIMENSION
        except FileNotFoundError:
            return 0

    @trouble.of_files()
    def forget(self, document: str) -> None:
        with self._lock:
            self._path(document).unlink(missing_ok=True)
            self._drop(document)

    @trouble.of_files()
    def _held(self, document: str) -> _Held:
        with self._lock:
            found = self._cache.get(document)
            if found is not None and len(found.rows) == self.count(document):
                self._cache.move_to_end(document)
                return found
            self._drop(document)  # another process has added to it, or deleted it
            try:
                content = self._path(document).read_bytes()
            except FileNotFoundError:
                return _NOTHING
            whole = len(content) // DIMENSION
            rows = np.frombuffer(content, np.int8, whole * DIMENSION).reshape(whole, DIMENSION)
            found = self._cache[document] = _hold(rows)
            self._bytes += _size(found)
            while self._bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._bytes -= _size(self._cache.popitem(last=False)[1])
            return found

    def _drop(self, document: str) -> None:
        if (known := self._cache.pop(document, None)) is not None:
            self._bytes -= _size(known)

    def _path(self, document: str) -> Path:
        # Hashed, so that an id is never a path, whatever its sender put into it.
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()}.{MODEL}"


def _size(held: _Held) -> int:
    return held.rows.nbytes + held.signs.nbytes


class VectorsInMemory(MatrixVectors):
    """The vectors of documents that are only in memory themselves; `may_keep` tells of which, all where it is None."""

    def __init__(self, may_keep: Callable[[str], bool] | None = None) -> None:
        self._may_keep = may_keep
        self._lock = threading.Lock()
        self._matrices: dict[str, _Held] = {}

    def add(self, document: str, first: int, vectors: Vectors) -> None:
        with self._lock:
            if self._may_keep is not None and not self._may_keep(document):
                return
            known = self._matrices.get(document, _NOTHING).rows
            if len(known) == first:
                self._matrices[document] = _hold(np.concatenate([known, quantise(vectors)]))

    def forget(self, document: str) -> None:
        with self._lock:
            self._matrices.pop(document, None)

    def _held(self, document: str) -> _Held:
        with self._lock:
            return self._matrices.get(document, _NOTHING)
