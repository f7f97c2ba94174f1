"""Who is served when: a question at once, documents in turns; and what a crash, a drop or a missing model does."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miva.engine.embedding import queue as queue_module
from miva.engine.embedding.model import Embedder
from miva.engine.embedding.queue import TURN_TEXTS, EmbeddingQueue, QueueClosed
from miva.engine.embedding.weights import ModelMissing

PATIENCE_S = 60
SHIPS = [("Alma", 9), ("Berta", 1), ("Cora", 7), ("Dora", 3), ("Elsa", 5)]


class Gated(Embedder):
    """The real embedder, watched: it notes what it is asked in which thread, and holds documents up until `go` is set.

    A text that begins with "crash" raises.
    """

    def __init__(self, real: Embedder) -> None:
        super().__init__(real._session, real._tokens)
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked: list[list[str]] = []
        self.niceness: dict[str, int] = {}

    def embed(self, texts: Sequence[str], *, stop: Callable[[], bool] | None = None) -> NDArray[np.float32]:
        name = threading.current_thread().name
        if sys.platform == "linux":
            self.niceness[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if name == "embed-documents":
            self.begun.release()
            assert self.go.wait(PATIENCE_S)
        self.asked.append(list(texts))
        if texts[0].startswith("crash"):
            raise RuntimeError("the model fell over")
        return super().embed(texts, stop=stop)


@contextmanager
def running(load: Callable[[Path], Embedder], folder: Path = Path()) -> Iterator[EmbeddingQueue]:
    queue = EmbeddingQueue(folder, load)
    try:
        yield queue
    finally:
        queue.close()
        assert not [thread for thread in queue._threads if thread.is_alive()]


@pytest.fixture
def gated(embedder: Embedder) -> Iterator[Gated]:
    gated = Gated(embedder)
    yield gated
    gated.go.set()


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


async def test_it_loads_in_the_background_and_then_says_so(embedder: Embedder, model_folder: Path) -> None:
    may_load = threading.Event()

    def load(folder: Path) -> Embedder:
        assert may_load.wait(PATIENCE_S)
        return Embedder.load(folder)

    with running(load, model_folder) as queue:
        assert (queue.state, queue.dimension, queue.reason) == ("loading", None, "")
        question = asyncio.create_task(queue.question(["What is it?"]))
        document = queue.ingest(["It is a lamp."])
        await asyncio.sleep(0.05)
        assert not question.done()
        assert not document.done()
        may_load.set()
        (vector,) = await question
        assert (queue.state, queue.dimension) == ("loaded", 384)
        assert np.array_equal(vector, embedder.embed(["What is it?"])[0])
        assert np.array_equal(document.result(PATIENCE_S), embedder.embed(["It is a lamp."]))


async def test_a_question_does_not_wait_for_documents(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        documents = [queue.ingest(numbered(key, 40), key=key) for key in "abc"]
        assert gated.begun.acquire(timeout=PATIENCE_S)
        vectors = await asyncio.wait_for(queue.question(["Who?", "Where?"]), PATIENCE_S)
        assert vectors.shape == (2, 384)
        assert gated.asked == [["Who?", "Where?"]]
        assert not any(document.done() for document in documents)
        gated.go.set()
        assert [document.result(PATIENCE_S).shape for document in documents] == [(40, 384)] * 3


async def test_questions_are_answered_in_the_order_they_came(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_processors", lambda: 1)
    with running(lambda _: gated) as queue:
        await asyncio.gather(*(queue.question([f"question {number}"]) for number in range(20)))
        assert gated.asked == [[f"question {number}"] for number in range(20)]


async def test_what_a_question_reads_is_shared_by_two_threads(
    gated: Gated, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_processors", lambda: 2)
    sentences = [f"The ship {name} entered the harbour {'again and ' * length}again." for name, length in SHIPS]
    with running(lambda _: gated) as queue:
        vectors = await queue.question(sentences)
    assert sorted(len(texts) for texts in gated.asked) == [2, 3]
    assert sorted(text for texts in gated.asked for text in texts) == sorted(sentences)
    alone = np.concatenate([embedder.embed([sentence]) for sentence in sentences])
    assert (np.argmax(vectors @ alone.T, axis=1) == np.arange(len(sentences))).all(), "each row is its own text's"


async def test_a_share_that_fails_fails_the_question(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_processors", lambda: 2)
    with running(lambda _: gated) as queue:
        with pytest.raises(RuntimeError, match="fell over"):
            await queue.question(["crash" + " and more" * 30, "innocent" + " and more" * 60])
        assert (await queue.question(["and now?"])).shape == (1, 384)


def test_documents_take_turns_and_each_keeps_its_order(gated: Gated, embedder: Embedder) -> None:
    with running(lambda _: gated) as queue:
        long = queue.ingest(numbered("long", 3 * TURN_TEXTS + 1), key="long")
        assert gated.begun.acquire(timeout=PATIENCE_S)
        short = queue.ingest(numbered("short", 2), key="short")
        more = queue.ingest(numbered("more", 2), key="long")
        gated.go.set()
        assert np.array_equal(short.result(PATIENCE_S), embedder.embed(numbered("short", 2)))
        assert more.result(PATIENCE_S).shape == (2, 384)
        assert long.done(), "what a document hands in is done in order"
        assert [texts[0].split()[0] for texts in gated.asked] == ["long", "short", "long", "long", "long", "more"]
        assert [text for texts in gated.asked for text in texts if text.startswith("long")] == numbered("long", 49)
        assert max(map(len, gated.asked)) == TURN_TEXTS
        one_by_one = [embedder.embed(numbered("long", 49)[at : at + TURN_TEXTS]) for at in range(0, 49, TURN_TEXTS)]
        assert np.array_equal(long.result(), np.concatenate(one_by_one))


def test_a_dropped_document_is_forgotten_and_may_come_again(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        gone = [queue.ingest(numbered("gone", 100), key="gone"), queue.ingest(numbered("gone", 5), key="gone")]
        kept = queue.ingest(numbered("kept", 3), key="kept")
        assert gated.begun.acquire(timeout=PATIENCE_S)
        queue.drop("gone")
        queue.drop("never heard of")
        again = queue.ingest(["again"], key="gone")
        gated.go.set()
        for future in gone:
            with pytest.raises(CancelledError):
                future.result(PATIENCE_S)
        assert kept.result(PATIENCE_S).shape == (3, 384)
        assert again.result(PATIENCE_S).shape == (1, 384)
        assert sum(texts[0].startswith("gone") for texts in gated.asked) == 1


def test_a_cancelled_future_costs_no_more_turns(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        first = queue.ingest(numbered("first", 100), key="a")
        second = queue.ingest(numbered("second", 100), key="b")
        third = queue.ingest(["third"], key="b")
        assert gated.begun.acquire(timeout=PATIENCE_S)
        assert first.cancel()
        assert second.cancel()
        gated.go.set()
        assert third.result(PATIENCE_S).shape == (1, 384)
        assert [texts[0] for texts in gated.asked] == ["first 0", "third"]


async def test_a_question_nobody_waits_for_is_not_worked_on(embedder: Embedder) -> None:
    may_load = threading.Event()
    watched = Gated(embedder)

    def load(_: Path) -> Embedder:
        assert may_load.wait(PATIENCE_S)
        return watched

    with running(load) as queue:
        unwanted = asyncio.create_task(queue.question(["unwanted"] * 500))
        wanted = asyncio.create_task(queue.question(["wanted"]))
        await asyncio.sleep(0)
        unwanted.cancel()
        await asyncio.sleep(0)
        may_load.set()
        assert (await asyncio.wait_for(wanted, PATIENCE_S)).shape == (1, 384)
        with pytest.raises(asyncio.CancelledError):
            await unwanted


async def test_a_crash_costs_the_texts_that_were_in_it(gated: Gated, caplog: pytest.LogCaptureFixture) -> None:
    gated.go.set()
    with running(lambda _: gated) as queue:
        crashing = queue.ingest(["crash", "innocent"], key="a")
        behind = queue.ingest(["behind it"], key="a")
        beside = queue.ingest(["beside it"], key="b")
        with pytest.raises(RuntimeError, match="fell over"):
            crashing.result(PATIENCE_S)
        with pytest.raises(RuntimeError, match="fell over"):
            await queue.question(["crash"])
        assert behind.result(PATIENCE_S).shape == beside.result(PATIENCE_S).shape == (1, 384)
        assert (await queue.question(["and now?"])).shape == (1, 384)
        assert queue.state == "loaded"
    assert [record.exc_text is not None for record in caplog.records] == [True, True], "both are in the log"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModelMissing("The package is gone. Install it."), "The package is gone. Install it."),
        (OSError(28, "No space left on device"), "could not be written: No space left on device"),
        (RuntimeError("odd"), r"could not be loaded \(RuntimeError\)"),
    ],
    ids=["missing", "disk", "else"],
)
async def test_without_a_model_everything_says_why(error: Exception, words: str, model_folder: Path) -> None:
    may_fail = threading.Event()

    def load(_: Path) -> Embedder:
        assert may_fail.wait(PATIENCE_S)
        raise error

    with running(load) as queue:
        waiting = queue.ingest(["early"], key="a")
        asking = asyncio.create_task(queue.question(["early?"]))
        await asyncio.sleep(0)
        may_fail.set()
        with pytest.raises(ModelMissing, match=words):
            waiting.result(PATIENCE_S)
        with pytest.raises(ModelMissing, match=words):
            await asyncio.wait_for(asking, PATIENCE_S)
        assert (queue.state, queue.dimension) == ("missing", None)
        assert queue.reason
        with pytest.raises(ModelMissing, match=words):
            queue.ingest(["late"])
        with pytest.raises(ModelMissing, match=words):
            await queue.question(["late?"])


async def test_closing_ends_everything_that_waits(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        documents = [queue.ingest(numbered(key, 40), key=key) for key in "ab"]
        assert gated.begun.acquire(timeout=PATIENCE_S)
        threading.Timer(0.1, gated.go.set).start()
        queue.close()
        for document in documents:
            with pytest.raises(QueueClosed):
                document.result(PATIENCE_S)
        with pytest.raises(QueueClosed):
            queue.ingest(["late"])
        with pytest.raises(QueueClosed):
            await queue.question(["late?"])
        queue.close()


async def test_nothing_to_embed_is_no_error(embedder: Embedder) -> None:
    with running(lambda _: embedder) as queue:
        assert queue.ingest([]).result(PATIENCE_S).shape == (0, 384)
        assert (await queue.question([])).shape == (0, 384)


async def test_only_documents_have_the_lower_priority(gated: Gated) -> None:
    gated.go.set()
    with running(lambda _: gated) as queue:
        queue.ingest(["a page"]).result(PATIENCE_S)
        await queue.question(["a question"])
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert gated.niceness == {"embed-questions": ours, "embed-documents": max(ours, 10)}
