"""Vectors in files of FAISS: an example of another vector store, for those who keep theirs in such files.

A folder for each document with files of at most `ROWS` vectors each, so that what is added rewrites one small file. A
file is replaced as a whole: a reader sees it before or after. The search is exact.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from miva.engine.stores.base import MODEL, NearChunk, StoreError, VectorStore
from miva.engine.vectors import DIMENSION, SCALE, Vectors, quantise

ROWS = 8192
_CACHED_FILES = 256

_Index: TypeAlias = Any  # FAISS tells no types
_Stamp: TypeAlias = tuple[int, int, int]


class FaissFiles(VectorStore):
    """The vectors of each document in a folder of its own, a byte a component (`quantise`)."""

    def __init__(self, folder: Path, database_url: str = "") -> None:  # noqa: ARG002 (files need no database)
        try:
            self._faiss: Any = importlib.import_module("faiss")
        except ImportError as why:
            raise StoreError(f"The vector store faiss needs a package: pip install faiss-cpu ({why}).") from None
        # Bytes as they come need no training, so a file is the same whatever came first. 100,000 rows are compared in
        # 4.0 ms; in half precision, which is twice the memory to be read, in 10.4.
        self._kind = self._faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._cache: OrderedDict[Path, tuple[_Stamp, _Index]] = OrderedDict()

    def count(self, document: str) -> int:
        with self._lock:
            return self._count(document)

    def add(self, document: str, first: int, vectors: Vectors) -> None:
        with self._alone():
            held = self._count(document)
            if held != first or not len(vectors):
                return
            folder = self._path(document)
            folder.mkdir(mode=0o700, exist_ok=True)
            rows = quantise(vectors).astype(np.float32)
            while len(rows):
                number, begun = divmod(held, ROWS)
                path = _file(folder, number)
                index = self._faiss.clone_index(self._read(path)) if begun else self._new()
                index.add(rows[: ROWS - begun])
                self._write(path, index)
                rows = rows[ROWS - begun :]
                held = number * ROWS + index.ntotal

    def nearest(self, documents: Sequence[str], question: Vectors, most: int) -> list[NearChunk]:
        places: list[tuple[str, int]] = []
        cosines: list[Vectors] = []
        # In this thread alone: by itself FAISS takes a thread for each core, twice the work for hardly less time.
        # OpenMP keeps that for each thread that asks.
        self._faiss.omp_set_num_threads(1)
        asked = quantise(question).astype(np.float32)  # FAISS compares bytes with bytes
        with self._lock:
            for document in documents if most > 0 else ():
                for number, index in enumerate(self._indices(document)):
                    products, rows = index.search(asked, min(most, index.ntotal))
                    places += [(document, number * ROWS + row) for row in rows[0].tolist()]
                    cosines.append(products[0])
        if not places:
            return []
        every = np.concatenate(cosines) / np.float32(SCALE * SCALE)
        nearest = np.argsort(-every, kind="stable")[:most].tolist()
        return [NearChunk(document, chunk, float(every[at])) for at in nearest for document, chunk in [places[at]]]

    def cosines(self, document: str, chunks: Sequence[int], question: Vectors) -> dict[int, float]:
        found: dict[int, float] = {}
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for chunk in chunks:
            wanted[chunk // ROWS].append(chunk)
        with self._lock:
            for number, index in enumerate(self._indices(document)):
                here = [chunk for chunk in wanted[number] if chunk - number * ROWS < index.ntotal]
                if here:
                    rows = index.reconstruct_batch(np.array(here, np.int64) - number * ROWS)
                    found |= zip(here, map(float, rows @ question[0] / SCALE), strict=True)
        return found

    def forget(self, document: str) -> None:
        folder = self._path(document)
        with self._alone():
            for path in [path for path in self._cache if path.parent == folder]:
                del self._cache[path]
            # The last file first: what is cut short by a power cut still has its first chunks.
            for path in sorted(folder.glob("*"), reverse=True):
                path.unlink()
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread, nor another process, changes the files meanwhile."""
        with self._lock, (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _count(self, document: str) -> int:
        return sum(index.ntotal for index in self._indices(document))

    def _indices(self, document: str) -> Iterator[_Index]:
        """Its files in order, up to the first that is not full: what lies behind one that is broken is not counted."""
        folder = self._path(document)
        number = 0
        while (index := self._read(_file(folder, number))) is not None:
            yield index
            if index.ntotal < ROWS:
                return
            number += 1

    def _read(self, path: Path) -> _Index | None:
        try:
            known = path.stat()
        except FileNotFoundError:
            return None
        stamp = (known.st_ino, known.st_size, known.st_mtime_ns)
        cached = self._cache.get(path)
        if cached is None or cached[0] != stamp:
            try:
                index = self._faiss.read_index(str(path))
            except RuntimeError:  # cut short or overwritten: its chunks are embedded again
                return None
            if index.d != DIMENSION or getattr(getattr(index, "sq", None), "qtype", None) != self._kind:
                return None  # another model's, or from a version that kept them in another form
            self._cache[path] = cached = stamp, index
        self._cache.move_to_end(path)
        while len(self._cache) > _CACHED_FILES:
            self._cache.popitem(last=False)
        return cached[1]

    def _write(self, path: Path, index: _Index) -> None:
        draft = path.with_suffix(".tmp")
        self._faiss.write_index(index, str(draft))
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)

    def _new(self) -> _Index:
        return self._faiss.IndexScalarQuantizer(DIMENSION, self._kind, self._faiss.METRIC_INNER_PRODUCT)

    def _path(self, document: str) -> Path:
        # Hashed, so that an id is never a path, whatever its sender put into it.
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()}.{MODEL}"


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.faiss"
