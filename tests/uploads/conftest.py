"""An owner with documents on a real database and in a real folder, in this process; and servers to send files to."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from miva import background_reading, engine_client, uploads
from miva.documents import reader, store
from miva.hub import News, hub, owner_topic
from miva.in_thread import in_thread
from miva.models import Document, Owner
from miva.protocol.requests import Upload
from miva.uploads import UploadSession
from tests import databases
from tests.documents.helpers import eventually_async
from tests.pdfs import make_pdf

PDF = make_pdf(["Alpha", "Beta"], size=300_000)
DAY_S = 86400.0


def upload_of(data: bytes, id: str = "u1", name: str = "a.pdf", **more: Any) -> Upload:
    """The frame that announces this file."""
    facts = {"media_type": "application/pdf", "sha256": hashlib.sha256(data).hexdigest()}
    return Upload(id, name, size=len(data), **facts | more)


class Sender:
    """Somebody who sends files in pieces, and hears what an owner's sockets hear."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir
        self.owner_id: UUID = Owner.objects.create(kind=Owner.Kind.GUEST).pk
        self.news: list[News] = []

    def listen(self) -> None:
        """Notes the news from now on."""
        hub.subscribe(owner_topic(self.owner_id), self.news.append)

    async def open(self, data: bytes, id: str = "u1", **more: Any) -> UploadSession:
        """Begins this file, or goes on with it."""
        return await uploads.open(self.owner_id, upload_of(data, id, **more))

    async def send(self, data: bytes, id: str = "u1", *, piece: int = 65536, **more: Any) -> UploadSession:
        """Sends what is missing of this file."""
        session = await self.open(data, id, **more)
        while not session.is_over:
            await session.write(data[session.done : session.done + piece])
        await session.settled()
        return session

    async def document(self, id: UUID) -> Document:
        """The row as it is now."""
        return await in_thread(Document.objects.get)(pk=id)

    async def ended(self, id: UUID) -> Document:
        """The row once the document is ready or has failed, and its owner was told so."""

        async def end() -> Document | None:
            found = await self.document(id)
            news = [news["document"] for news in self.news if news["kind"] == "document"]
            is_told = any((one["id"], one["status"]) == (str(id), found.status) for one in news)
            return found if is_told and found.status in (Document.Status.READY, Document.Status.FAILED) else None

        ended: Document = await eventually_async(end)
        return ended

    async def change(self, id: UUID, **columns: Any) -> None:
        """Puts a row into a state in which a process that died would have left it."""
        await in_thread(Document.objects.filter(pk=id).update)(**columns)

    def told(self, id: str = "u1") -> list[str]:
        """The states of a file that were told, each with its error, once however often in a row."""
        states = [news["document"] for news in self.news if news["kind"] == "document" and news["id"] == id]
        words = [" ".join(filter(None, (state["status"], state.get("error")))) for state in states]
        return [word for word, before in zip(words, [None, *words], strict=False) if word != before]

    def files(self, folder: str) -> list[str]:
        """The names of what lies in one of the data folder's own."""
        return sorted(path.name for path in (self.folder / folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, settings_of: Any, django_db_blocker: Any) -> Iterator[None]:
    """This process uses a database of this kind, as the product has it."""
    with databases.using(settings_of(request.param, "uploads"), django_db_blocker):
        yield


@pytest.fixture(scope="module")
def own_readers() -> Iterator[None]:
    """The extraction processes are started once for a module, with the settings that all of its tests have."""
    reader.stop()
    yield
    reader.stop()


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    """An empty folder for what is kept; the database stays where it is."""
    settings.MIVA_DATA_DIR = tmp_path
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": tmp_path}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    return tmp_path


@pytest.fixture
def make_sender(
    settings: Any, data_dir: Path, database: None, own_readers: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Awaitable[Sender]]:
    """Makes senders; there is no engine, and leases are short."""
    settings.MIVA_ENGINE_URLS = ("ws://127.0.0.1:9/",)
    settings.MIVA_LEASE_S = 1.0
    settings.MIVA_OCR = "off"
    monkeypatch.setattr(engine_client, "_info", None)
    monkeypatch.setattr(background_reading, "_tidied_at", None)
    store.empty_cache()
    Document.objects.all().delete()

    async def make() -> Sender:
        sender = await in_thread(Sender)(data_dir)
        sender.listen()
        return sender

    return make


@pytest.fixture
async def sender(make_sender: Callable[[], Awaitable[Sender]]) -> Sender:
    return await make_sender()
