"""A library keeps documents whole, finds them again and forgets them, in files and in PostgreSQL alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from miva.engine.stores.base import Bookmark, Index, Library, StoreError
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.engine.stores.conftest import OpenLibrary
from tests.engine.stores.material import ODD_IDS, PAGES, draft, new_id, plain

OUTLINE = [Bookmark(0, "Part \0 ä", 1), Bookmark(1, "Kapitel 🙂", 2), Bookmark(0, "Part \0 ä", 3)]


def everything(index: Index) -> dict[str, object]:
    """All that an index tells."""
    chunks = index.chunk_count()
    return {
        "chunks": chunks,
        "pages": index.page_count(),
        "page numbers": index.page_numbers(),
        "page texts": [index.page_text(page) for page in range(len(PAGES) + 2)],
        "page chunks": index.page_chunks(),
        "chunk passages": [index.chunk_passages(chunk) for chunk in range(chunks + 1)],
        "page passages": [index.page_passages(page, 3) for page in range(len(PAGES) + 2)],
        "outline": index.outline(),
        "headings": [index.headings(limit) for limit in (0, 1, 100)],
        "texts": [index.chunk_texts(first, 2) for first in range(chunks + 1)],
    }


def held(library: Library, document: str) -> Index:
    index = library.open(document)
    assert index is not None
    return index


def test_what_comes_out_is_what_went_in(open_library: OpenLibrary) -> None:
    made, document = draft(), new_id()
    made.set_outline([Bookmark(0, "thrown away", 1)])
    made.set_outline(OUTLINE)
    open_library().save(document, made)
    index = held(open_library(), document)
    told = everything(index)
    assert told["outline"] == OUTLINE
    assert told == everything(made)
    assert told["headings"][2], "the text has a heading"  # type: ignore[index]
    for page in index.page_numbers():
        for passage in index.page_passages(page, 1000):
            assert index.page_text(page)[passage.start : passage.end] == passage.text
    index.close()


def test_a_document_without_text_is_a_document(library: Library) -> None:
    document = new_id()
    library.save(document, draft(["", "  \n"]))
    index = held(library, document)
    assert (index.page_count(), index.chunk_count(), index.page_numbers(), index.outline()) == (2, 0, [], [])
    assert plain(index.postings(["word"])) == {"word": {}}
    assert index.chunk_passages(0) == []


def test_one_that_is_not_held(library: Library) -> None:
    document = new_id()
    assert library.open(document) is None
    assert not library.holds(document)
    assert library.name(document) == "the document"
    library.forget(document)


def test_saving_twice_is_no_error_and_changes_nothing(open_library: OpenLibrary) -> None:
    document = new_id()
    open_library().save(document, draft())
    before = everything(held(open_library(), document))
    open_library().save(document, draft())
    assert everything(held(open_library(), document)) == before


def test_ids_are_taken_as_they_are(library: Library, tmp_path: Path) -> None:
    for number, document in enumerate(ODD_IDS):
        library.save(document, draft([f"The number is {number}."]))
        library.set_name(document, "me", f"{number}\0.pdf")
    assert set(ODD_IDS) <= set(library.documents())
    for number, document in enumerate(ODD_IDS):
        assert held(library, document).page_text(1) == f"The number is {number}."
        assert library.name(document) == f"{number}\0.pdf"
    assert [path.name for path in tmp_path.parent.iterdir() if path.name == "outside"] == []
    for document in ODD_IDS:
        library.forget(document)
        assert not library.holds(document)
    assert not set(ODD_IDS) & set(library.documents())


def test_names_that_differ_are_told_to_nobody(open_library: OpenLibrary) -> None:
    document = new_id()
    library = open_library()
    library.save(document, draft())
    library.set_name(document, "anna", "Contract.pdf")
    library.set_name(document, "bert", "Contract.pdf")
    assert open_library().name(document) == "Contract.pdf"
    library.set_name(document, "bert", "My boss.pdf")
    assert open_library().name(document) == "the document"
    library.set_name(document, "bert", "Contract.pdf")
    assert open_library().name(document) == "Contract.pdf"
    assert document in list(open_library().documents())


def test_deletion_leaves_nothing(library: Library, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    secret, document, other = "Zwetschgendatschi", new_id(), new_id()
    library.save(document, draft([f"{secret} is a cake. {secret}!"]))
    library.save(other, draft())
    library.set_name(document, "owner", f"{secret}.pdf")
    in_files = isinstance(library, SqliteLibrary)
    everywhere = _files if in_files else _rows
    source = str(tmp_path) if in_files else request.getfixturevalue("database")
    assert secret.lower() in everywhere(source)
    library.forget(document)
    assert library.name(document) == "the document"
    assert secret.lower() not in everywhere(source)
    assert document not in everywhere(source)
    assert library.holds(other)


def _files(folder: str) -> str:
    return "".join(path.read_bytes().decode(errors="replace").lower() for path in Path(folder).rglob("*.sqlite3*"))


def _rows(url: str) -> str:
    """All rows of all of the engine's tables as text."""
    with psycopg.connect(url) as client:
        tables = client.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'miva_engine'").fetchall()
        rows = [
            (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).lower()
            for (table,) in tables
            for row in client.execute(f"SELECT * FROM miva_engine.{table}")
            for value in row
        ]
    return "\n".join(rows)


def test_many_at_once_save_the_same_and_read_it(open_library: OpenLibrary) -> None:
    document, start = new_id(), threading.Barrier(6)
    libraries = [open_library() for _ in range(3)]

    def work(number: int) -> dict[str, object]:
        library = libraries[number % 3]
        start.wait()
        library.save(document, draft())
        library.set_name(document, f"owner {number}", "one.pdf")
        return everything(held(library, document))

    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(work, range(6)))
    assert all(one == told[0] for one in told)
    assert libraries[0].name(document) == "one.pdf"
    assert list(libraries[0].documents()).count(document) == 1


def test_one_index_is_read_by_several_threads(library: Library) -> None:
    document = new_id()
    library.save(document, draft())
    index = held(library, document)
    expected = everything(index)
    with ThreadPoolExecutor(8) as threads:
        assert all(one == expected for one in threads.map(lambda _: everything(index), range(16)))


def test_a_file_that_cannot_be_opened_is_not_taken_for_none(tmp_path: Path) -> None:
    library, document = SqliteLibrary(tmp_path), new_id()
    library.save(document, draft())
    (file,) = [path for path in tmp_path.glob("*.sqlite3") if path.name != "names.sqlite3"]
    file.unlink()
    file.mkdir()  # whoever runs this may read any file
    for look in (library.open, library.holds):
        with pytest.raises(StoreError, match="cannot be used"):
            look(document)


def test_a_file_that_was_cut_off_counts_as_not_held(tmp_path: Path) -> None:
    library, document = SqliteLibrary(tmp_path), new_id()
    library.save(document, draft())
    (file,) = [path for path in tmp_path.glob("*.sqlite3") if path.name != "names.sqlite3"]
    for size in (file.stat().st_size // 2, 50, 0):
        with file.open("r+b") as cut:
            cut.truncate(size)
        if size < 100:
            assert not library.holds(document)
    library.save(document, draft())
    assert everything(held(library, document)) == everything(draft())
