"""Questions with files: read wherever a process lives, waited for, and stopped with their question."""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.engines import scripted_engine
from tests.pdfs import make_pdf
from tests.processes import free_port
from tests.product import PATIENCE_S, Product
from tests.redis_server import RedisServer
from tests.relay.browser import PASSWORD, Browser
from tests.relay.world import World, closed, file
from tests.turns.teller import Teller
from tests.turns.workers import ask, ended, event, eventually, kinds, log_of, open_socket, rows, until, workers

pytestmark = pytest.mark.timeout(300)


async def test_files_of_a_question_whose_process_is_killed_are_read_by_another(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    teller = Teller(words=3)
    teller.go.set()
    files = [file(make_pdf([f"Page {number} of it." for number in range(300)])), file(b"pears", "b.txt", "text/plain")]
    async with scripted_engine(teller) as engine:
        with workers(tmp_path, 2, engine.url, redis_server) as (owner, other):
            async with open_socket(owner.socket_url, "miva.v1") as socket:
                await socket.send(ask(1, files=files))
                await until(socket, "accepted")
                owner.kill()
            log = await ended(other, "c")
            assert kinds(log)[-1] == "done"
            question = teller.questions[-1]["message"]
            assert question.startswith("1?\n\n--- File Content: a.pdf ---\n--- Page 1 ---\nPage 0 of it.")
            assert "\nPage 299 of it." in question
            assert "--- File Content: b.txt ---\npears\n" in question
            assert {status for (status,) in rows(other, "SELECT status FROM miva_document")} == {"ready"}


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Product]:
    with workers(Path(tmp_path_factory.mktemp("files")), 1, f"ws://127.0.0.1:{port}/ws/chat") as (product,):
        yield product


async def test_a_file_is_read_while_its_question_waits(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "waits"))
        await until(socket, "delta")
        await socket.send(ask(2, "waits", files=[file(b"pears", "b.txt", "text/plain")]))
        accepted = await until(socket, "accepted")
        assert accepted["position"] == 1
        await eventually(lambda: document(only, accepted["documents"][0]) == ("ready", ""))
        teller.go.set()
        await ended(only, "waits", turns=2)
    assert "--- File Content: b.txt ---\npears\n" in teller.questions[1]["message"]


async def test_a_waiting_question_whose_file_is_deleted_is_not_asked_without_it(only: Product, port: int) -> None:
    teller = Teller()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "bereft", files=[file(b"plums", "a.txt", "text/plain")]))
        [left] = (await until(socket, "accepted"))["documents"]
        await until(socket, "delta")
        await socket.send(ask(2, "bereft", files=[file(b"pears", "b.txt", "text/plain")]))
        bereft = await until(socket, "accepted")
        [deleted] = bereft["documents"]
        await socket.send(ask(3, "bereft", documents=[left, deleted]))
        await eventually(lambda: document(only, deleted) == ("ready", ""))
        await until(socket, "accepted")
        request = urllib.request.Request(f"{only.url}api/document/{deleted}/", method="DELETE")
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=PATIENCE_S)
        teller.go.set()
        refused = await until(socket, "error")
        assert (refused["code"], refused["turn"]) == ("not_found", bereft["turn"])
        assert "was deleted before its turn came" in refused["message"]
        await until(socket, "done")
    assert [asked["message"].split("\n")[0] for asked in teller.questions] == ["1?", "3?"]
    assert "--- File Content: a.txt ---\nplums\n" in teller.questions[-1]["message"]


async def test_a_question_right_behind_a_file_that_is_being_read_is_about_it_too(only: Product, port: int) -> None:
    teller = Teller(words=1)
    teller.go.set()
    pages = [f"Page {number}. " + "All work and no play. " * 20 for number in range(300)]
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "at once", files=[file(make_pdf(pages))]))
        await socket.send(ask(2, "at once"))
        first, second = await until(socket, "accepted"), await until(socket, "accepted")
        assert second["position"] == 1
        assert second["documents"] == first["documents"] != []
        await ended(only, "at once", turns=2)
    for question, asked in zip("12", teller.questions, strict=True):
        assert asked["message"].startswith(f"{question}?\n\n--- File Content: a.pdf ---\n--- Page 1 ---\nPage 0.")


async def test_a_cancelled_question_reads_its_file_no_further(only: Product, port: int) -> None:
    teller = Teller()
    pages = [f"Page {number}. " + "All work and no play. " * 60 for number in range(4000)]
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        await socket.send(ask(1, "unwanted", files=[file(make_pdf(pages))]))
        accepted = await until(socket, "accepted")
        await until(socket, "progress")
        await socket.send(json.dumps({"type": "cancel", "turn": accepted["turn"]}))
        await socket.send(ask(2, "unwanted"))
        assert (await until(socket, "cancelled"))["turn"] == accepted["turn"]
        teller.go.set()
        await until(socket, "done")
    assert kinds(await ended(only, "unwanted", turns=2))[-1] == "done"
    assert [asked["message"] for asked in teller.questions] == ["2?"]
    assert document(only, accepted["documents"][0]) == ("failed", "busy")


async def test_a_file_that_cannot_be_read_fails_its_question_and_the_next_is_asked(only: Product, port: int) -> None:
    teller = Teller(words=1)
    teller.go.set()
    async with scripted_engine(teller, port=port), open_socket(only.socket_url, "miva.v1") as socket:
        for number in (1, 2):
            await socket.send(ask(number, "broken", files=[file(b"%PDF-1.4 and no more")] if number == 1 else []))
        failed = await until(socket, "error")
        assert failed["code"] == "broken_pdf"
        assert (await until(socket, "done"))["turn"] != failed["turn"]
    assert [found.kind for found in await ended(only, "broken", turns=2)].count("failed") == 1


def document(product: Product, id: str) -> tuple[str, str]:
    """A document's status and error."""
    [found] = rows(product, "SELECT status, error FROM miva_document WHERE id = %s", UUID(id).hex)
    return found[0], found[1]


async def test_a_guest_who_signs_in_during_an_answer_finds_it_in_the_account(tmp_path: Path) -> None:
    teller = Teller()
    world = World(tmp_path, "uvicorn")
    await asyncio.to_thread(world.start)
    try:
        code = f"from miva.models import User; User.objects.create_user('ada', 'ada@example.org', {PASSWORD!r})"
        made = await asyncio.to_thread(world.product.run, "shell", "-c", code)
        assert made.returncode == 0, made.stderr
        browser = Browser(world)
        await asyncio.to_thread(browser.get)
        note = b"It is about pears."
        teller.sources = [{"document": hashlib.sha256(note).hexdigest(), "page": 1, "quote": "pears"}]
        async with world.engine(teller):
            async with world.socket(guest=browser.session, dialect="miva.v1") as guest:
                await guest.send(ask(1, files=[file(note, "note.txt", "text/plain")]))
                document = (await until(guest, "accepted"))["documents"][0]
                await until(guest, "delta")
                await asyncio.to_thread(browser.post, "accounts/login/", username="ada", password=PASSWORD)
                assert await closed(guest) == 4401
            teller.go.set()
            async with world.socket(guest=browser.session, dialect="miva.v1") as account:
                assert (await until(account, "hello"))["user"] == {"name": "ada", "guest": False}
                await account.send(json.dumps({"type": "resume", "conversation": "c", "after": 0}))
                done = await until(account, "done")
                assert done["text"] == teller.text
                assert [(found["document"], found["name"]) for found in done["sources"]] == [(document, "note.txt")]
                await account.send(ask(2))
                while (found := await event(account))["type"] != "accepted":
                    pass
                assert found["documents"] == [document]
                assert found["seq"] == done["seq"] + 1
        async with asyncio.timeout(PATIENCE_S):
            while "done" not in kinds(log_of(world.product, "c")):
                await asyncio.sleep(0.1)
        assert world.rows("SELECT COUNT(*) FROM miva_owner WHERE kind = 'guest'") == [(0,)]
    finally:
        await asyncio.to_thread(world.stop)
