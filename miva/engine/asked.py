"""A document of a question, as a room of its own: many look into it, each at something else."""

from __future__ import annotations

from dataclasses import dataclass

from miva.engine.stores.base import Index, VectorStore


@dataclass(frozen=True)
class Asked:
    """A document of a question: its id, the name to show for it, its index, where its vectors are, and, if it is still
    being read, how far."""

    id: str
    name: str
    index: Index
    vectors: VectorStore
    paged: bool = True
    read: tuple[int, int] | None = None
