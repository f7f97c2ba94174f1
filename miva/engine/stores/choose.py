"""Which library and which vector store the engine uses: what `MIVA_VECTOR_STORE` and the database say."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from miva.engine.stores.base import Library, StoreError, VectorStore
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.sqlite_library import SqliteLibrary

logger = logging.getLogger("miva.engine")

BUILT_IN = {
    "files": "miva.engine.stores.matrix_vectors.VectorFiles",
    "pgvector": "miva.engine.stores.postgres_vectors.PostgresVectors",
    "faiss": "miva.engine.stores.faiss_files.FaissFiles",
}
"""What may be written for short in `MIVA_VECTOR_STORE`, beside `auto` and the dotted name of a class."""


def open_stores(name: str, folder: Path, database_url: str) -> tuple[Library, VectorStore]:
    """The library and the vector store for a setting; `database_url` is "" where the database is SQLite.

    `auto` is PostgreSQL with pgvector where the database is PostgreSQL, or files where that has no pgvector, which is
    logged. Raises `StoreError` where what was asked for by name cannot be used.
    """
    if name in ("auto", "pgvector") and database_url:
        try:
            return _in_postgres(folder, database_url)
        except StoreError as why:
            if name != "auto":
                raise
            logger.warning("%s Documents are kept in files on this machine instead.", why)
    library = SqliteLibrary(folder / "documents")
    if name == "auto":
        return library, VectorFiles(folder / "vectors")
    if name == "pgvector":
        raise StoreError("MIVA_VECTOR_STORE=pgvector needs DATABASE_URL to be a PostgreSQL database.")
    return library, _named(name)(folder / "vectors", database_url)


def _in_postgres(folder: Path, database_url: str) -> tuple[Library, VectorStore]:
    # Not imported without need: the driver alone takes a tenth of a second.
    from miva.engine.stores.postgres_library import PostgresLibrary
    from miva.engine.stores.postgres_vectors import PostgresVectors

    vectors = PostgresVectors(folder, database_url)  # first, for only they need the extension
    try:
        return PostgresLibrary(database_url), vectors
    except BaseException:
        vectors.close()
        raise


def _named(name: str) -> type[VectorStore]:
    module, _, attribute = BUILT_IN.get(name, name).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as why:
        known = ", ".join(["auto", *BUILT_IN])
        raise StoreError(
            f"MIVA_VECTOR_STORE={name} cannot be loaded ({why}). Write one of {known}, or package.module.Class."
        ) from None
    if not (isinstance(found, type) and issubclass(found, VectorStore)):
        raise StoreError(f"MIVA_VECTOR_STORE={name} is not a class made from miva.engine.stores.base.VectorStore.")
    return found
