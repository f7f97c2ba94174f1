"""Plain statements: the same on both databases, and kept plans that PostgreSQL loses cost nobody an event."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, OperationalError, connections
from django.utils import timezone

from miva import plain_sql
from miva.eventlog import EventLog
from miva.in_thread import in_thread
from miva.log_rows import Entry
from miva.models import Conversation, Document, Message
from tests import databases
from tests.log.conftest import Talk, new_talk
from tests.log.test_append import saying, texts
from tests.postgres_server import PostgresServer

OFTEN = plain_sql.PREPARED_AFTER + 3
LABEL = "SELECT label FROM miva_conversation WHERE id = %s"


@pytest.fixture(autouse=True)
def _plans_are_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plain_sql, "_may_prepare", True)
    yield
    plain_sql._of_thread.__dict__.clear()


@pytest.fixture
def on_postgres(postgres: PostgresServer, django_db_blocker: object) -> Iterator[str]:
    address = postgres.new_database()
    with databases.using(databases.postgres_settings(address), django_db_blocker):
        yield address


def kept_plans() -> int:
    [(count,)] = plain_sql.rows("SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE %s", ["%label%"])
    return int(count)


def lose_plans() -> None:
    """As where a pooler gives the connection another server process: psycopg does not hear of it."""
    with connections["default"].cursor() as cursor:
        cursor.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")


def label_of(talk: Talk) -> str:
    [(label,)] = plain_sql.rows(LABEL, [talk.conversation_id])
    return str(label)


def test_rows_become_one_value_and_rows_again(database: str) -> None:
    talks = [new_talk() for _ in range(3)]
    Conversation.objects.filter(pk=talks[1].conversation_id).update(title='“a”, "b" \\ ü 🙂\n')
    query = "SELECT id, label, title FROM miva_conversation ORDER BY created_at DESC"
    flat, pairs = plain_sql.as_list(["id"], query), plain_sql.as_list(["title", "label"], query)
    none = plain_sql.as_list(["id"], f"{query} LIMIT 0")
    [(ids, titled, nothing)] = plain_sql.rows(f"SELECT {flat}, {pairs}, {none}", [])
    assert [UUID(id) for id in plain_sql.listed(ids)] == [talk.conversation_id for talk in reversed(talks)]
    assert [title for title, _ in plain_sql.listed(titled)] == ["", '“a”, "b" \\ ü 🙂\n', ""]
    assert all(label.startswith("a label") for _, label in plain_sql.listed(titled))
    assert plain_sql.listed(nothing) == []


def test_the_plan_of_a_statement_that_comes_again_is_kept(on_postgres: str) -> None:
    talk = new_talk()
    assert [label_of(talk) for _ in range(OFTEN)] == [label_of(talk)] * OFTEN
    assert kept_plans() == 1


def test_behind_a_pooler_none_is(postgres: PostgresServer, django_db_blocker: object) -> None:
    address = f"{postgres.new_database()}?DISABLE_SERVER_SIDE_CURSORS=true"
    with databases.using(databases.postgres_settings(address), django_db_blocker):
        talk = new_talk()
        for _ in range(OFTEN):
            assert label_of(talk)
        assert kept_plans() == 0


def test_a_plan_that_is_lost_is_said_once_and_not_relied_on_again(
    on_postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    talk = new_talk()
    for _ in range(OFTEN):
        label_of(talk)
    lose_plans()
    with caplog.at_level(logging.WARNING, "miva.plain_sql"), pytest.raises(OperationalError):
        label_of(talk)
    assert "DISABLE_SERVER_SIDE_CURSORS" in caplog.text
    for _ in range(OFTEN):
        assert label_of(talk)
    assert kept_plans() == 0


def losing(_: int) -> Sequence[Entry]:
    """A work, so that it is done on the log's own connection."""
    lose_plans()
    return []


async def test_the_log_goes_on_when_its_plans_are_lost(on_postgres: str) -> None:
    talk, log = await in_thread(new_talk)(), EventLog()
    try:
        for number in range(OFTEN):
            await log.append(talk.conversation_id, saying(talk.fence, f"{number}"))
        await log.append(talk.conversation_id, losing)
        for number in range(OFTEN, 2 * OFTEN):
            await log.append(talk.conversation_id, saying(talk.fence, f"{number}"))
    finally:
        log.close()
    assert await texts(talk.conversation_id) == [str(number) for number in range(2 * OFTEN)]


def document_of(talk: Talk) -> Document:
    owner_id = Conversation.objects.get(pk=talk.conversation_id).owner_id
    return Document(owner_id=owner_id, name='“ü”, "b" \\ 🙂\n', size=2**40, status=Document.Status.RECEIVING)


def test_a_row_that_is_stored_is_as_the_orm_would_have_stored_it(database: str) -> None:
    talk = new_talk()
    plainly, by_orm = document_of(talk), document_of(talk)
    plain_sql.insert(plainly, lease_until=plain_sql.from_now(60))
    by_orm.lease_until = timezone.now() + timedelta(seconds=60)
    by_orm.save()
    first, second = (Document.objects.get(pk=document.pk) for document in (plainly, by_orm))
    for field in Document._meta.concrete_fields:
        ours, theirs = getattr(first, field.attname), getattr(second, field.attname)
        if field.name in ("lease_until", "created_at"):
            assert abs((ours - theirs).total_seconds()) < 30, field.name
        elif field.name != "id":
            assert ours == theirs, field.name
    assert not plainly._state.adding


def test_the_database_makes_a_key_where_a_row_has_none(database: str) -> None:
    talk = new_talk()
    messages = [
        Message(conversation_id=talk.conversation_id, role="user", content=f"{n}", files=["ü"]) for n in range(2)
    ]
    for message in messages:
        plain_sql.insert(message)
    stored = list(Message.objects.filter(conversation_id=talk.conversation_id).order_by("id"))
    assert [message.pk for message in stored] == [message.pk for message in messages]
    assert [(message.content, message.files, message.sources) for message in stored] == [
        ("0", ["ü"], []),
        ("1", ["ü"], []),
    ]


def test_a_row_that_may_be_once_only_is_not_stored_twice(database: str) -> None:
    talk = new_talk()
    known = Conversation.objects.get(pk=talk.conversation_id)
    with pytest.raises(IntegrityError):
        plain_sql.insert(Conversation(owner_id=known.owner_id, label=known.label))


def test_rows_that_are_found_are_as_the_orm_finds_them(database: str) -> None:
    document = document_of(new_talk())
    plain_sql.insert(document, lease_until=plain_sql.from_now(60))
    [found] = plain_sql.found(Document, "id = %s", [document.pk])
    expected = Document.objects.get(pk=document.pk)
    assert {name: value for name, value in vars(found).items() if name != "_state"} == {
        name: value for name, value in vars(expected).items() if name != "_state"
    }
    assert plain_sql.found(Document, "id = %s AND status = %s", [document.pk, "ready"]) == []
