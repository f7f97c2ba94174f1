"""Which sentences a question reads for their meaning: no more than may be an answer, and what is not read is cited."""

from __future__ import annotations

from collections.abc import Sequence

from miva.engine.answer import Answer, compose
from miva.engine.asked import Asked
from miva.engine.embedding.model import Embedder
from miva.engine.stores.matrix_vectors import VectorsInMemory
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.vectors import Vectors

FAR = ["The ferry of Hermes sails to Bornholm.", "Hermes was built in a yard."]
CODE = "The launch code of Hermes is 4711."
SPARE = "It is the launch code of the spare rocket that is kept in the second drawer."


def asked(embedder: Embedder, question: str, *pages: str) -> tuple[Answer, list[str]]:
    """The answer, and the sentences that were read for it."""
    index = SqliteIndex.in_memory()
    index.add_pages(list(enumerate(pages, 1)))
    read: list[list[str]] = []

    def embed(texts: Sequence[str]) -> Vectors:
        read.append(list(texts))
        return embedder.embed(texts)

    answer = compose(question, [Asked("one", "one.pdf", index, VectorsInMemory())], embed)
    assert read[0] == [question]
    return answer, [text for texts in read[1:] for text in texts]


def test_what_is_far_from_the_best_is_not_read_and_still_a_source(embedder: Embedder) -> None:
    question = "What is the launch code of Hermes?"
    answer, read = asked(embedder, question, *FAR, CODE, SPARE)
    assert read == [CODE, SPARE]
    pages = [source["page"] for source in answer.sources]
    assert (pages[:2], set(pages[2:])) == ([3, 4], {1, 2})
    assert "4711" in answer.text


def test_where_nothing_stands_out_all_of_the_best_are_read(embedder: Embedder) -> None:
    pages = [f"The {colour} ferry sails to Bornholm." for colour in ("red", "green", "blue", "white")]
    _, read = asked(embedder, "When does the ferry sail to Bornholm?", *pages)
    assert sorted(read) == sorted(pages)
