"""What the engine keeps documents in: their text and keyword index in a library, their vectors in a vector store.

Both are told apart by the document's id, the hash of its content, so what several owners send is kept once. Neither
knows who may see what: only the ids that a question names are ever looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from miva.engine.vectors import Vectors

Posting: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]
"""The chunks that have a term, each once, and for each its term-frequency part of BM25 (k1 1.2, b 0.75), 0 to 2.2."""
Postings: TypeAlias = dict[str, Posting]
"""For each term its posting."""


def posting(pairs: Iterable[tuple[int, float]]) -> Posting:
    """A posting of chunks and their parts."""
    found = list(pairs)
    chunks, parts = zip(*found, strict=True) if found else ((), ())
    return np.array(chunks, np.int32), np.array(parts, np.float32)


MODEL = "minilm-4"
"""Which model's vectors these are, of chunks cut how: what is kept under another name is not found."""


class StoreError(Exception):
    """A store cannot be used; the text says why and what to do, for the engine's log and its first lines."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence or heading as it stands on its page; `start` counts characters from the page's beginning."""

    number: int
    page: int
    start: int
    text: str
    heading: bool

    @property
    def end(self) -> int:
        """The offset behind its last character."""
        return self.start + len(self.text)


class Bookmark(NamedTuple):
    """Where a part of a document begins: its depth from 0, its title, and its page, counted from 1."""

    level: int
    title: str
    page: int


@dataclass(frozen=True, slots=True)
class NearChunk:
    """A chunk of a document, and the cosine of its vector to the question's, -1 to 1."""

    document: str
    chunk: int
    cosine: float


class Index(ABC):
    """One document's pages, sentences and chunks, with their keyword index; safe to use from several threads."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds; the index cannot be used any more."""

    @abstractmethod
    def chunk_count(self) -> int:
        """How many chunks the document has so far."""

    @abstractmethod
    def page_count(self) -> int:
        """How many pages the document has so far."""

    @abstractmethod
    def page_numbers(self) -> list[int]:
        """The numbers of the pages that have text, in order."""

    @abstractmethod
    def page_text(self, page: int) -> str:
        """A page's whole text, "" where there is none."""

    @abstractmethod
    def postings(self, terms: Sequence[str]) -> Postings:
        """Which chunks have which of these terms."""

    @classmethod
    def postings_of(cls, indices: Sequence[Self], terms: Sequence[str]) -> list[tuple[int, Postings]]:
        """For each index its number of chunks and its postings: in one go, where its database is far away."""
        found = [index.postings(terms) for index in indices]  # first: a document on its way in grows
        return [(index.chunk_count(), postings) for index, postings in zip(indices, found, strict=True)]

    @abstractmethod
    def chunk_passages(self, chunk: int) -> list[Passage]:
        """The sentences of one chunk in reading order."""

    @classmethod
    def passages_of(cls, places: Sequence[tuple[Self, int]]) -> list[list[Passage]]:
        """The sentences of several chunks, in their order: in one go, where their database is far away."""
        return [index.chunk_passages(chunk) for index, chunk in places]

    @abstractmethod
    def page_passages(self, page: int, limit: int) -> list[Passage]:
        """The first `limit` sentences and headings of one page."""

    @abstractmethod
    def headings(self, limit: int) -> list[Passage]:
        """The first `limit` headings of the document."""

    @abstractmethod
    def outline(self) -> list[Bookmark]:
        """The document's bookmarks in order; none where it has none."""

    @abstractmethod
    def chunk_texts(self, first: int, limit: int) -> list[str]:
        """What to embed of `limit` chunks from number `first` on, in order."""

    @abstractmethod
    def page_chunks(self) -> list[tuple[int, int]]:
        """The page of each chunk, as (page, first chunk on it) in order of pages."""


@dataclass(frozen=True, slots=True)
class Content:
    """All of a document, to be kept elsewhere: rows as their names say, in order."""

    pages: list[tuple[int, str]]
    """Page number and text."""
    sentences: list[tuple[int, int, int, int, bool]]
    """Number, page, offset of its first character, offset behind its last one, and whether it is a heading."""
    chunks: list[tuple[int, int, int, int, str]]
    """Number, page, first and last sentence, and text."""
    outline: list[Bookmark]


class Draft(Index):
    """A document on its way in."""

    @abstractmethod
    def add_pages(self, pages: Sequence[tuple[int, str]]) -> None:
        """Store and index pages, each a number and its text, in one step; a number that is there already is left as it
        is."""

    @abstractmethod
    def set_outline(self, outline: Sequence[Bookmark]) -> None:
        """Note its bookmarks, in place of those noted before."""

    @abstractmethod
    def content(self) -> Content:
        """All of it."""

    @abstractmethod
    def common_words(self) -> list[tuple[str, Posting]]:
        """The words that stand in many of its chunks, with their postings (`stores.common_words`)."""

    @abstractmethod
    def tsvectors(self) -> list[tuple[str, int]]:
        """For each chunk its words as PostgreSQL's full text takes them, and how many they are."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the whole of it to a file of SQLite in one step; a reader sees all of it or nothing."""


class Library(ABC):
    """The finished documents, and who calls them what."""

    @abstractmethod
    def open(self, document: str) -> Index | None:
        """The index of a document that is wholly held, else None."""

    @abstractmethod
    def holds(self, document: str) -> bool:
        """Whether `open` would find the document."""

    @abstractmethod
    def save(self, document: str, draft: Draft) -> None:
        """Keep a finished document in one step: a reader sees all of it or nothing."""

    @abstractmethod
    def forget(self, document: str) -> None:
        """Delete a document and its names for good; one that is not held is no error."""

    @abstractmethod
    def set_name(self, document: str, owner: str, name: str) -> None:
        """Note what `owner` calls the document."""

    @abstractmethod
    def name(self, document: str) -> str:
        """What all who sent the document call it; where they differ, no owner's word for it is told to another."""

    @abstractmethod
    def documents(self) -> Iterator[str]:
        """The ids of all documents that are held."""

    def close(self) -> None:
        """Give back what it holds."""
        return


class VectorStore(ABC):
    """The vectors of documents' chunks, by the document's id and the chunk's number.

    The one class that another vector database plugs in as: `MIVA_VECTOR_STORE=package.module.Class`. It is made with
    the settings the engine has: a folder of its own for files, and the URL of the database, "" where that is SQLite.
    Every method blocks and may be called from several threads. Vectors come and go as float32 rows of unit length;
    what is kept may be smaller, as long as a cosine is right to about 0.01. A chunk that the model cannot read has a
    row of zeros: whether it is told, and then with a cosine of 0 or with NaN, makes no difference.
    """

    @abstractmethod
    def __init__(self, folder: Path, database_url: str) -> None:
        """Open it. Raises `StoreError`."""

    @abstractmethod
    def count(self, document: str) -> int:
        """How many of its chunks have a vector; they are always the first ones."""

    @abstractmethod
    def add(self, document: str, first: int, vectors: Vectors) -> None:
        """Keep the vectors of the chunks from number `first` on; those that are there already may be left as they are.

        Where `first` is not the next one that is missing, nothing is kept.
        """

    @abstractmethod
    def nearest(self, documents: Sequence[str], question: Vectors, most: int) -> list[NearChunk]:
        """The chunks of these documents that are nearest to a question's one row, nearest first."""

    @abstractmethod
    def cosines(self, document: str, chunks: Sequence[int], question: Vectors) -> dict[int, float]:
        """How near these chunks are; those without a vector are left out."""

    def cosines_of(self, wanted: Mapping[str, Sequence[int]], question: Vectors) -> dict[tuple[str, int], float]:
        """The same for chunks of several documents: in one go, where their database is far away."""
        return {
            (document, chunk): cosine
            for document, chunks in wanted.items()
            for chunk, cosine in self.cosines(document, chunks, question).items()
        }

    @abstractmethod
    def forget(self, document: str) -> None:
        """Delete a document's vectors for good; one that has none is no error."""

    def close(self) -> None:
        """Give back what it holds."""
        return
