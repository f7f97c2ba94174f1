"""What the tests of reading share: servers, a Redis between them, and the log of this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from miva import eventlog
from miva.eventlog import Entry
from miva.in_thread import in_thread
from miva.models import Conversation, LogEvent, Owner, Turn
from miva.protocol.events import Delta, Event
from tests import databases
from tests.relay.world import World

MakeLog = Callable[[], Awaitable["Log"]]


class Log:
    """A conversation of nobody in particular, which a test writes into as the server does."""

    def __init__(self) -> None:
        owner = Owner.objects.create(kind=Owner.Kind.GUEST)
        self.conversation = Conversation.objects.create(owner=owner, label=str(uuid4()))
        self.turn = Turn.objects.create(
            owner=owner, conversation=self.conversation, client_id=str(uuid4()), state=Turn.State.DONE, accepted_seq=1
        )

    @property
    def id(self) -> UUID:
        return self.conversation.pk

    async def say(self, *events: Event | str) -> int:
        """Logs these, a text as a piece of an answer; returns the last one's number."""
        entries = [Entry(self.turn.pk, 1, Delta(event) if isinstance(event, str) else event) for event in events]
        stored = await eventlog.log.append(self.id, lambda _: entries)
        return stored[-1].seq

    async def forget_to(self, seq: int) -> None:
        """Takes old events out of the log, as pruning does."""
        await in_thread(LogEvent.objects.filter(conversation=self.conversation, seq__lte=seq).delete)()

    async def vanish(self) -> None:
        """Deletes the conversation."""
        await in_thread(self.conversation.delete)()


class Worlds:
    """The running world of each server command: started when a test needs it, and again after one that stopped it."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._running: dict[str, World] = {}

    def __call__(self, server: str) -> World:
        if server not in self._running:
            self._running[server] = World(self._folders.mktemp(server), server).start()
        return self._running[server]

    def stop(self, server: str) -> int | None:
        """Stops one as its operator does; returns its exit code, None where it had to be killed."""
        return self._running.pop(server).stop()

    def stop_all(self) -> None:
        for server in tuple(self._running):
            self.stop(server)


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    found = Worlds(tmp_path_factory)
    yield found
    found.stop_all()


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    """The product under uvicorn."""
    found = worlds("uvicorn")
    yield found
    found.assert_calm()


@pytest.fixture(params=["uvicorn", "daphne"])
def any_world(worlds: Worlds, request: pytest.FixtureRequest) -> Iterator[World]:
    """The product under each server."""
    found = worlds(request.param)
    yield found
    found.assert_calm()


@pytest.fixture(scope="module")
def database(settings_of: Any, django_db_blocker: Any) -> Iterator[None]:
    """A file, as the product has it: what threads do to a database in memory shows little."""
    with databases.using(settings_of("sqlite", "reading"), django_db_blocker):
        yield


@pytest.fixture
def make_log(database: None) -> Iterator[MakeLog]:
    """Makes conversations in this process's own database."""
    yield in_thread(Log)
    eventlog.log.close()
