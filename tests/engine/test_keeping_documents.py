"""The `miva.engine.v1` door: documents are sent once, kept, asked about, and forgotten."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.engine.running import Engine, pages_of

ZOO = ["The zoo opens at nine.", "The elephant is called Jumbo. It eats hay.", "The zoo closes at six."]
SHIP = ["The ship left Hamburg in 1912.", "Its captain was Anna Meyer."]


async def test_hello_comes_first_and_says_what_this_engine_is(shared_engine: Engine) -> None:
    async with shared_engine.open() as plain:
        assert plain.connection.subprotocol is None
    async with shared_engine.open(v1=True) as client:
        assert client.connection.subprotocol == "miva.engine.v1"


async def test_the_contracts_transcript_frame_by_frame(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            document = "ab" * 32
            question: dict[str, Any] = {"message": "Who was the captain?", "type": "chat", "unique_id": "7"}
            await client.send(**question, stream=True, history=[], documents=[document], options={})
            assert await client.get() == {"type": "need", "documents": [document]}
            await client.send(type="document", id=document, name="d.pdf", pages=2, owner="alice")
            for number, text in enumerate(SHIP, 1):
                await client.send(type="page", id=document, page=number, text=text)
            await client.send(type="document_end", id=document)
            frames = await client.until("done")
            kinds = [frame["type"] for frame in frames if frame["type"] != "stream"]
            assert kinds == ["progress", "indexed", "thinking", "done"]
            assert frames[0] == {"type": "progress", "stage": "index", "done": 2, "total": 2, "id": document}
            assert frames[1] == {"type": "indexed", "id": document, "chunks": 2}
            done = frames[-1]
            assert set(done) == {"type", "response", "sources"}
            assert done["sources"][0] == {
                "document": document, "name": "d.pdf", "page": 2, "quote": "Its captain was Anna Meyer.",
                "start": 0, "end": 27,
            }  # fmt: skip
            assert "".join(f["content"] for f in frames if f["type"] == "stream") == done["response"]
            assert all(set(f) == {"type", "content"} for f in frames if f["type"] == "stream")
            await client.send(type="forget", id=document)
            await client.send(**question, stream=True, documents=[document])
            assert await client.answer() == {"type": "need", "documents": [document]}


async def test_only_the_documents_asked_about_are_searched(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        zoo, ship = await client.store(ZOO, "zoo.pdf"), await client.store(SHIP, "ship.pdf")
        answer = await client.ask("Who was the captain of the ship?", documents=[zoo])
        assert "Anna Meyer" not in answer["message"]
        answer = await client.ask("Who was the captain of the ship?", documents=[zoo, ship])
        assert "ship.pdf: “Its captain was Anna Meyer.” (page 2)" in answer["message"]
        assert answer["sources"][0]["document"] == ship


async def test_another_owners_documents_change_no_answer(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            zoo = await client.store(ZOO)
            before = await client.ask("What is the elephant called, and when does the zoo open?", documents=[zoo])
            for i in range(20):
                await client.store([f"Elephant {i} is called zoo."] * 3, owner="bob")
            after = await client.ask("What is the elephant called, and when does the zoo open?", documents=[zoo])
    assert before == after


async def test_one_owners_name_for_a_document_is_not_told_to_another(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        document = await client.store(["A secret recipe of two owners."], "alices-secret.pdf", owner="alice")
        assert (await client.ask("recipe?", documents=[document]))["sources"][0]["name"] == "alices-secret.pdf"
        await client.store(["A secret recipe of two owners."], "bob.pdf", owner="bob")
        assert (await client.ask("recipe?", documents=[document]))["sources"][0]["name"] == "the document"
        named = await client.ask("recipe?", documents=[document], names={document: "bob.pdf"})
        assert named["sources"][0]["name"] == "bob.pdf"


async def test_documents_outlive_the_engine_and_are_not_read_twice(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(ZOO)
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            answer = await client.ask("What is the elephant called?", documents=[document])
            assert pages_of(answer)[0] == 2
            # Held already: the answer comes without a single page.
            await client.send(type="document", id=document, name="d.pdf", pages=3, owner="alice")
            await client.send(type="document_end", id=document)
            assert (await client.until("indexed"))[-1] == {"type": "indexed", "id": document, "chunks": 3}


async def test_a_document_that_never_ended_is_asked_for_again(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            document = await client.begin(ZOO)
            assert "Jumbo" in (await client.ask("elephant?", documents=[document]))["message"]
        async with engine.open(v1=True) as client:
            await client.send(message="elephant?", type="chat", unique_id="u", documents=[document])
            assert await client.get() == {"type": "need", "documents": [document]}
            await client.store(ZOO)
            assert "Jumbo" in (await client.answer())["message"]


async def test_a_document_begun_again_starts_from_nothing(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        await client.send(type="document", id="twice", name="d.pdf", pages=1)
        await client.send(type="page", id="twice", page=1, text="The walrus sings.")
        await client.send(type="document", id="twice", name="d.pdf", pages=1)
        await client.send(type="page", id="twice", page=1, text="The walrus dances.")
        await client.send(type="document_end", id="twice")
        await client.until("indexed")
        answer = await client.ask("What does the walrus do?", documents=["twice"])
        assert "dances" in answer["message"]
        assert "sings" not in answer["message"]


async def test_an_engine_that_still_reads_answers_from_what_it_has(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as reading, shared_engine.open(v1=True) as asking:
        pages = [f"Room {i} holds {i} lamps." for i in range(1, 6)]
        document = await reading.begin(pages, announced=50)
        await reading.ask("hello")  # answered behind the pages
        answer = await asking.ask("How many lamps are in room 3?", documents=[document])
        assert "“Room 3 holds 3 lamps.” (page 3)" in answer["message"]
        assert "I have read 5 of 50 pages of d.pdf so far." in answer["message"]


async def test_a_needed_document_may_come_on_another_connection(shared_engine: Engine) -> None:
    pages = ["The lighthouse keeper is named Olaf."]
    async with shared_engine.open(v1=True) as asking, shared_engine.open(v1=True) as sending:
        document = await sending.begin(pages)
        await sending.send(type="forget", id=document)
        await sending.send(message="hello", unique_id="order")  # answered behind the forget
        await sending.get()
        await asking.send(message="Who is the keeper?", unique_id=1, documents=[document])
        assert (await asking.get())["type"] == "need"
        await sending.store(pages)
        assert "Olaf" in (await asking.get())["message"]


async def test_a_needed_document_that_does_not_come_is_an_error_in_words(data: Path) -> None:
    with Engine(data, "--wait-for-documents", "0.2") as engine:
        async with engine.open(v1=True) as client:
            await client.send(message="Who?", unique_id="u", documents=["unknown"])
            assert (await client.get())["type"] == "need"
            error = await client.get()
            assert error["type"] == "error"
            assert "did not arrive within 0.2 seconds" in error["message"]
            assert (await client.ask("hello"))["type"] == "chat"


async def test_forgetting_leaves_nothing_on_the_disk(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            await client.store(ZOO)
            document = await client.store(["The password is xyzzyplugh."], "plover.pdf")
            await client.ask("password?", documents=[document])  # it is kept by then
            held = [p for p in data.rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
            assert held
            await client.send(type="forget", id=document)
            await client.send(message="password?", unique_id="u", documents=[document])
            assert (await client.answer())["type"] == "need"
            for path in data.rglob("*"):
                content = path.read_bytes() if path.is_file() else b""
                assert b"xyzzy" not in content
                assert b"plover" not in content


async def test_forgetting_what_is_still_being_sent_stops_it(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as sending, shared_engine.open(v1=True) as other:
        document = await sending.begin(["Half a document about tapirs."])
        await sending.ask("hello")  # answered behind the page
        assert "tapirs" in (await other.ask("tapirs?", documents=[document]))["message"]
        await other.send(type="forget", id=document)
        await other.send(message="tapirs?", unique_id="u", documents=[document])
        assert await other.get() == {"type": "need", "documents": [document]}
        await sending.send(type="document_end", id=document)
        assert "not begun" in (await sending.get())["message"]


async def test_a_damaged_file_counts_as_not_held(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(ZOO)
            await client.ask("elephant?", documents=[document])  # it is kept by then
            (stored,) = (data / "documents").glob("????????????????*.sqlite3")
            stored.write_bytes(b"not a database at all")
            await client.send(message="elephant?", unique_id="u", documents=[document])
            assert (await client.answer())["type"] == "need"
            await client.store(ZOO)
            assert "Jumbo" in (await client.answer())["message"]


async def test_ids_and_names_are_data_and_never_paths_or_commands(data: Path) -> None:
    with Engine(data) as engine:
        async with engine.open(v1=True) as client:
            for number, hostile in enumerate(["../../escape", "a'; DROP TABLE names; --", "\0", "🙂" * 200]):
                await client.send(type="document", id=hostile, name=hostile, pages=1, owner=hostile)
                await client.send(type="page", id=hostile, page=1, text=f"Number {number} is a fine heron.")
                await client.send(type="document_end", id=hostile)
                await client.until("indexed")
                answer = await client.ask("heron?", documents=[hostile])
                assert answer["sources"][0] == {
                    "document": hostile, "name": hostile, "page": 1, "quote": f"Number {number} is a fine heron.",
                    "start": 0, "end": 25,
                }  # fmt: skip
    assert not list(data.parent.glob("**/escape*"))
    with sqlite3.connect(data / "documents" / "names.sqlite3") as names:
        assert names.execute("SELECT count(*) FROM names").fetchone() == (4,)


async def test_long_work_reports_its_progress_and_questions_go_on_beside_it(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as sending, shared_engine.open(v1=True) as asking:
        small = await asking.store(ZOO)
        pages = [" ".join(f"Line {i} of page {n} is about rain." for i in range(120)) for n in range(400)]
        big = await sending.begin(pages)
        await sending.send(type="document_end", id=big)
        for _ in range(10):
            answer = await asking.ask("What is the elephant called?", documents=[small])
            assert pages_of(answer)[0] == 2
        *progress, indexed = await sending.until("indexed")
        assert indexed["chunks"] > 400
        counts = [frame["done"] for frame in progress]
        assert counts == sorted(counts)
        assert counts[-1] == 400
        assert {frame["total"] for frame in progress} == {400}
        await sending.send(type="forget", id=big)  # its vectors would keep the engine busy for minutes


async def test_a_question_can_be_cancelled_while_it_waits(shared_engine: Engine) -> None:
    async with shared_engine.open(v1=True) as client:
        await client.send(message="Who?", unique_id="stop me", documents=["never sent"], stream=True)
        assert (await client.get())["type"] == "need"
        await client.send(type="cancel", unique_id="stop me")
        document = await client.store(ZOO)
        await client.send(type="document", id="never sent", name="n", pages=0)
        await client.send(type="document_end", id="never sent")
        await client.until("indexed")
        answer = await client.ask("elephant?", documents=[document])
        assert answer["unique_id"] == "u"  # nothing of the cancelled question came before it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.connection.recv(), 0.3)


MANUAL = [
    "Pump Manual\n\nThe pump moves forty litres a minute. It is made of steel.\n",
    "Safety\n\nthis goes on from before. Wear gloves when the pump is hot. Gloves are in the box with the pump. Hot!\n",
    "Setup\n\nFix the pump to the floor with four screws. The screws of the pump are of steel.\n",
    "Care\n\nClean the filter of the pump every month. Wear gloves when the pump is hot. A dirty filter stops it.\n",
]


async def test_an_overview_has_the_bookmarks_and_whole_sentences_said_once(shared_engine: Engine) -> None:
    outline = [(0, "Pump Manual", 1), (0, "Safety first", 2), (1, "Hot parts", 2), (0, "Setup", 3), (0, "Care", 4)]
    async with shared_engine.open(v1=True) as client:
        document = await client.store(MANUAL, "manual.pdf", outline=outline)
        text = (await client.ask("What is inside this pdf?", documents=[document]))["message"]
    listed = "- Safety first (page 2)\n  - Hot parts (page 2)\n- Setup (page 3)\n- Care (page 4)\n"
    assert f"Its outline:\n{listed}" in text
    assert "“The pump moves forty litres a minute.” (page 1)" in text
    quotes = re.findall(r"- “([^”]*)” \(page (\d)\)", text)
    assert len({words for words, _ in quotes}) == len(quotes) >= 3
    assert {page for _, page in quotes} == {"2", "3", "4"}
    assert all(words[0].isupper() and words[-1] == "." for words, _ in quotes)


async def test_a_long_outline_is_shown_as_deep_as_there_is_room(shared_engine: Engine) -> None:
    names = "abcdefghij"
    outline = [(level, f"{'Section' if level else 'Part'} {name}", 1) for name in names for level in (0, 1)]
    async with shared_engine.open(v1=True) as client:
        document = await client.store(["This page tells of something else."], outline=outline)
        text = (await client.ask("summarise", documents=[document]))["message"]
    assert [f"- Part {name} (page 1)" for name in names] == re.findall(r"- Part .*", text)
    assert "Section" not in text
    assert "- and 10 more" in text
