"""What the tests of the event log share: each database in turn, and conversations with turns in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connections

from miva.eventlog import EventLog, Fence, topic
from miva.hub import hub
from miva.models import Conversation, Owner, Turn
from tests import databases

WORKER = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Talk:
    """A conversation, and its turn that runs under this fence."""

    conversation_id: UUID
    fence: Fence


def new_talk(*, state: Turn.State = Turn.State.RUNNING, attempt: int = 1) -> Talk:
    owner, _ = Owner.objects.get_or_create(kind=Owner.Kind.PUBLIC)
    conversation = Conversation.objects.create(owner=owner, label=f"a label {uuid4()}")
    return Talk(conversation.pk, new_turn(conversation.pk, state=state, attempt=attempt))


def new_turn(conversation_id: UUID, *, state: Turn.State = Turn.State.RUNNING, attempt: int = 1) -> Fence:
    owner, _ = Owner.objects.get_or_create(kind=Owner.Kind.PUBLIC)
    about = {"message": "What is it?", "state": state, "worker": WORKER, "attempt": attempt}
    turn = Turn.objects.create(owner=owner, conversation_id=conversation_id, client_id=str(uuid4()), **about)
    return Fence(turn.pk, WORKER, attempt)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, settings_of: Any, django_db_blocker: Any) -> Iterator[str]:
    """This process uses a database of this kind, in which there is nothing."""
    with databases.using(settings_of(request.param, "log"), django_db_blocker):
        Owner.objects.all().delete()
        yield request.param


@pytest.fixture
def address(database: str) -> str:
    """The database as a server process takes it in DATABASE_URL."""
    about = connections["default"].settings_dict
    if database == "sqlite":
        return f"sqlite:///{Path(about['NAME'])}"
    return f"postgresql://postgres@{about['HOST']}:{about['PORT']}/{about['NAME']}"


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    """A log with a thread of its own."""
    log = EventLog()
    yield log
    log.close()


@pytest.fixture
def talk(database: str) -> Talk:
    return new_talk()


@pytest.fixture
def heard(talk: Talk) -> list[dict[str, Any]]:
    """Fills with the news of the talk once `listen` is called within the test's loop."""
    return []


def listen(talk: Talk, heard: list[dict[str, Any]]) -> None:
    hub.subscribe(topic(talk.conversation_id), heard.append)
