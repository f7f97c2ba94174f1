"""`MIVA_VECTOR_STORE`: each name opens what it says, and a wrong one is an error that says what would be right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from miva.engine.stores.base import Library, StoreError, VectorStore
from miva.engine.stores.choose import open_stores
from miva.engine.stores.faiss_files import FaissFiles
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.postgres_library import PostgresLibrary
from miva.engine.stores.postgres_vectors import PostgresVectors
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.engine.stores.material import draft, new_id, vectors


class OfOurOwn(VectorFiles):
    """What a site's own package may hold."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        super().__init__(folder / "own", database_url)


@pytest.mark.parametrize(
    ("name", "postgres", "library", "store"),
    [
        ("auto", False, SqliteLibrary, VectorFiles),
        ("auto", True, PostgresLibrary, PostgresVectors),
        ("files", False, SqliteLibrary, VectorFiles),
        ("files", True, SqliteLibrary, VectorFiles),
        ("faiss", False, SqliteLibrary, FaissFiles),
        ("faiss", True, SqliteLibrary, FaissFiles),
        ("pgvector", True, PostgresLibrary, PostgresVectors),
        (f"{__name__}.OfOurOwn", False, SqliteLibrary, OfOurOwn),
    ],
)
def test_each_name_opens_what_it_says(
    name: str, postgres: bool, library: type[Library], store: type[VectorStore], tmp_path: Path, database: str
) -> None:
    found = open_stores(name, tmp_path, database if postgres else "")
    assert (type(found[0]), type(found[1])) == (library, store)
    document, rows = new_id(), vectors(5)
    found[0].save(document, draft())
    found[1].add(document, 0, rows)
    assert found[0].holds(document)
    assert found[1].nearest([document], rows[2:3], 1)[0].chunk == 2
    for one in found:
        one.forget(document)
        one.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chroma", "cannot be loaded"),
        ("no.such.package.Store", "cannot be loaded"),
        (f"{__name__}.Absent", "cannot be loaded"),
        (".", "cannot be loaded"),
        ("", "cannot be loaded"),
        ("pathlib.Path", "is not a class made from"),
        ("json.loads", "is not a class made from"),
        ("pgvector", "needs DATABASE_URL"),
    ],
)
def test_a_wrong_name_is_told_what_would_be_right(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=words) as refused:
        open_stores(name, tmp_path, "")
    assert "MIVA_VECTOR_STORE" in str(refused.value)


def test_faiss_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)  # as import finds it where it is not installed
    with pytest.raises(StoreError, match="pip install faiss-cpu"):
        open_stores("faiss", tmp_path, "")
