"""PostgreSQL away, restarted, silent, without pgvector or without rights: a store goes on, or says what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from miva.engine.stores.base import Content, StoreError
from miva.engine.stores.choose import open_stores
from miva.engine.stores.matrix_vectors import VectorFiles
from miva.engine.stores.postgres_connections import CONNECTIONS, PostgresDatabase
from miva.engine.stores.postgres_library import PostgresLibrary
from miva.engine.stores.postgres_vectors import PostgresVectors
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.stores.sqlite_library import SqliteLibrary
from tests.engine.stores.material import draft, new_id, plain, vectors
from tests.postgres_server import PostgresServer
from tests.processes import free_port


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty database."""
    return server.new_database()


@pytest.fixture
def plain_user(server: PostgresServer, url: str) -> str:
    """The address of the same database for a user who may do nothing in it yet."""
    name = f"plain_{uuid4().hex}"
    with server.client() as client:
        client.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'open-sesame'")
    return url.replace("postgres@", f"{name}:open-sesame@")


@pytest.fixture
def opened(database: str) -> Iterator[tuple[PostgresLibrary, PostgresVectors]]:
    library, store = PostgresLibrary(database), PostgresVectors(Path(), database)
    yield library, store
    library.close()
    store.close()


def administrator(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as client:
        for statement in statements:
            client.execute(statement)


def test_a_restarted_server_costs_no_question(
    server: PostgresServer, opened: tuple[PostgresLibrary, PostgresVectors]
) -> None:
    library, store = opened
    document, rows = new_id(), vectors(20)
    library.save(document, draft())
    store.add(document, 0, rows)
    index = library.open(document)
    assert index is not None
    with ThreadPoolExecutor(CONNECTIONS) as threads:  # so that several connections are there to be broken
        before = list(threads.map(lambda _: plain(index.postings(["tenant"])), range(20)))
    server.kill()
    began = time.monotonic()
    with pytest.raises(StoreError, match="server runs"):
        library.open(document)
    with pytest.raises(StoreError, match="server runs"):
        store.nearest([document], rows[:1], 5)
    assert time.monotonic() - began < 5
    server.start()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        assert list(threads.map(lambda _: plain(index.postings(["tenant"])), range(20))) == before
    assert store.nearest([document], rows[:1], 5)[0].chunk == 0
    assert store.count(document) == 20


def test_connections_that_are_cut_are_replaced(
    server: PostgresServer, opened: tuple[PostgresLibrary, PostgresVectors]
) -> None:
    library, store = opened
    document, other, rows = new_id(), new_id(), vectors(60)
    library.save(document, draft())
    store.add(document, 0, rows[:20])
    changes: list[Callable[[], None]] = [
        lambda: library.set_name(document, "me", "one.pdf"),
        lambda: library.save(other, draft()),
        lambda: store.add(document, 20, rows[20:]),
        lambda: library.forget(document),
    ]
    for change in changes:
        assert server.drop_connections()
        change()
    assert (library.holds(other), library.holds(document), store.count(document)) == (True, False, 60)


def test_saving_goes_on_while_connections_are_cut(server: PostgresServer, database: str) -> None:
    """Each time it is cut it is done again once; whatever happens, a document is there as a whole or not at all."""
    made = draft(["A sentence of several words stands here. " * 40] * 60)
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.05):
            server.drop_connections()

    cutting = threading.Thread(target=cut)
    cutting.start()
    library = UnderCuts(database)
    try:
        for _ in range(5):
            document = new_id()
            try:
                library.save(document, made)
            except StoreError:
                saved = None
            else:
                saved = made.chunk_count()
            library.expect(document, saved)
    finally:
        done.set()
        cutting.join()
        library.close()


class UnderCuts:
    """A library, and a look past it at the rows, both through a server that keeps cutting connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._library = self._patiently(lambda: PostgresLibrary(url))

    def save(self, document: str, made: SqliteIndex) -> None:
        self._library.save(document, made)

    def expect(self, document: str, chunks: int | None) -> None:
        """`chunks` where it was saved; None where an error was raised, when it may be there all the same."""

        def look() -> tuple[int, int] | None:
            with psycopg.connect(self._url) as client:
                return client.execute(
                    "SELECT d.chunks, (SELECT count(*) FROM miva_engine.words w WHERE w.document = d.number)"
                    " FROM miva_engine.documents d WHERE id = %s",
                    (document.encode(),),
                ).fetchone()

        found = self._patiently(look)
        if chunks is not None:
            assert found == (chunks, chunks)
        assert found is None or found[0] == found[1]

    def close(self) -> None:
        self._library.close()

    @staticmethod
    def _patiently(work: Any) -> Any:
        for _ in range(50):
            try:
                return work()
            except (psycopg.OperationalError, StoreError):
                time.sleep(0.02)
        return work()


def test_a_save_that_fails_leaves_nothing(opened: tuple[PostgresLibrary, PostgresVectors], database: str) -> None:
    class Spoiled(SqliteIndex):
        def content(self) -> Content:
            content = super().content()
            number, page, first, last, text = content.chunks[-1]
            content.chunks[-1] = (number, page, first, last, f"{text}\0")  # which PostgreSQL's text cannot hold
            return content

    library, _ = opened
    document = new_id()
    spoiled = Spoiled.in_memory()
    spoiled.add_pages([(1, "A page. " * 100)])
    with pytest.raises(StoreError, match="NUL"):
        library.save(document, spoiled)
    assert not library.holds(document)
    library.save(document, draft())
    assert library.holds(document)


def test_a_silent_server_is_not_waited_for(server: PostgresServer, database: str) -> None:
    pool = PostgresDatabase(database)
    assert pool.query("SELECT 1") == [(1,)]
    began = time.monotonic()
    with pytest.raises(StoreError, match="in time"):
        pool.query("SELECT pg_sleep(60)", patience_s=0.3)
    server.pause()
    try:
        hasty = PostgresDatabase(f"{database}?connect_timeout=2")
        with pytest.raises(StoreError, match="DATABASE_URL"):
            hasty.query("SELECT 1")
    finally:
        server.go_on()
    assert pool.query("SELECT 2") == [(2,)]
    server.pause()
    try:
        with pytest.raises(StoreError, match="in time"):
            pool.query("SELECT 3", patience_s=0.3)
    finally:
        server.go_on()
    assert pool.query("SELECT 4") == [(4,)]
    assert time.monotonic() - began < 12
    running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
    assert pool.query(running) == [(0,)], "what nobody waits for is cancelled"
    pool.close()


def test_more_threads_than_connections_take_turns(database: str) -> None:
    pool = PostgresDatabase(database)
    with ThreadPoolExecutor(4 * CONNECTIONS) as threads:
        pids = list(threads.map(lambda _: pool.query("SELECT pg_backend_pid(), pg_sleep(0.02)")[0][0], range(40)))
    assert 1 < len(set(pids)) <= CONNECTIONS
    waiting = [threading.Thread(target=pool.query, args=("SELECT pg_sleep(0.7)",)) for _ in range(CONNECTIONS)]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    with pytest.raises(StoreError, match="too busy"):
        pool.query("SELECT 1", patience_s=0.1)
    for thread in waiting:
        thread.join()
    assert pool.query("SELECT 1") == [(1,)]
    pool.close()


def test_several_machines_start_at_once(url: str) -> None:
    start = threading.Barrier(8)

    def machine(number: int) -> None:
        start.wait()
        library, store = PostgresLibrary(url), PostgresVectors(Path(), url)
        library.save("document", draft())
        store.add("document", 0, vectors(5))
        library.close()
        store.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(machine, range(8)))
    library, store = open_stores("auto", Path(), url)
    assert (list(library.documents()), store.count("document")) == (["document"], 5)
    library.close()
    store.close()


def test_the_words_of_a_saved_document_are_sorted_into_the_index(url: str) -> None:
    library = PostgresLibrary(url)
    library.save(
        "document", draft([f"Page {number} tells of harbours, ships and lamp {number}." for number in range(600)])
    )
    library.close()
    with psycopg.connect(url) as client:  # how many pages of words wait to be, and would be read by every search
        assert client.execute("SELECT gin_clean_pending_list('miva_engine.words_gin')").fetchone() == (0,)


def test_tables_of_an_older_version_are_made_anew_and_newer_ones_are_left_alone(url: str, tmp_path: Path) -> None:
    library, store = open_stores("auto", tmp_path, url)
    library.save("document", draft())
    store.add("document", 0, vectors(5))
    administrator(url, "UPDATE miva_engine.parts SET version = 0 WHERE part = 'library'")
    library, store = open_stores("auto", tmp_path, url)
    assert (library.holds("document"), store.count("document")) == (False, 5)
    library.save("document", draft())
    administrator(url, "UPDATE miva_engine.parts SET version = 99 WHERE part = 'vectors'")
    with pytest.raises(StoreError, match="Update it"):
        open_stores("pgvector", tmp_path, url)
    assert library.holds("document")


def test_a_server_without_pgvector(server: PostgresServer, url: str, tmp_path: Path, caplog: Any) -> None:
    name = url.rpartition("/")[2]
    with server.client() as client:
        client.execute(f"ALTER DATABASE {name} SET extension_control_path = '/nowhere'")
    with pytest.raises(StoreError, match=r"no pgvector\. Install it there"):
        open_stores("pgvector", tmp_path, url)
    library, store = open_stores("auto", tmp_path, url)
    assert (type(library), type(store)) == (SqliteLibrary, VectorFiles)
    assert "no pgvector" in caplog.text
    assert "on this machine" in caplog.text


def test_a_user_without_rights_is_told_what_an_administrator_can_run(url: str, plain_user: str, tmp_path: Path) -> None:
    role = plain_user.partition("//")[2].partition(":")[0]
    with pytest.raises(StoreError, match="CREATE SCHEMA miva_engine") as refused:
        open_stores("pgvector", tmp_path, plain_user)
    assert "sesame" not in str(refused.value)
    administrator(url, "CREATE SCHEMA miva_engine", f"ALTER SCHEMA miva_engine OWNER TO {role}")
    with pytest.raises(StoreError, match="administrator run in that database: CREATE EXTENSION vector"):
        open_stores("pgvector", tmp_path, plain_user)
    administrator(url, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
    administrator(url, f"GRANT USAGE ON SCHEMA extensions TO {role}")
    library, store = open_stores("pgvector", tmp_path, plain_user)
    library.save("document", draft())
    store.add("document", 0, vectors(5))
    assert store.nearest(["document"], vectors(5)[3:4], 1)[0].chunk == 3
    library.close()
    store.close()


def test_an_old_pgvector_is_named(url: str, tmp_path: Path) -> None:
    administrator(
        url, "CREATE EXTENSION vector", "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'"
    )
    with pytest.raises(StoreError, match=r"pgvector is 0\.7\.4; 0\.8 or newer"):
        open_stores("pgvector", tmp_path, url)


def test_a_database_that_cannot_hold_every_letter(server: PostgresServer, tmp_path: Path) -> None:
    name = f"miva_{uuid4().hex}"
    with server.client() as client:
        client.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match="encoding is LATIN1"):
        open_stores("pgvector", tmp_path, f"postgresql://postgres@127.0.0.1:{server.port}/{name}")


def test_tables_that_were_dropped_are_an_error_in_words(url: str) -> None:
    library = PostgresLibrary(url)
    administrator(url, "DROP SCHEMA miva_engine CASCADE")
    with pytest.raises(StoreError, match="does not exist"):
        library.open("document")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://someone:open%ses@127.0.0.1/x",
        "postgresql://someone:open-ses@127.0.0.1/x?no_such_option=1",
        f"postgresql://someone:open-ses@127.0.0.1:{free_port()}/x",
    ],
    ids=["no URL", "an option that is none", "nobody listens"],
)
def test_an_address_that_leads_nowhere(address: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="DATABASE_URL") as refused:
        open_stores("pgvector", tmp_path, address)
    assert "ses" not in str(refused.value)
