"""A question as it is accepted: what its engine is told is read with the same commit that stores it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from miva import history
from miva.eventlog import EventLog, heads
from miva.in_thread import in_thread
from miva.models import Conversation, Document, Message, Turn
from miva.protocol.errors import NotFound
from miva.protocol.events import Accepted, Done
from miva.turn_works import Accept, End, Question
from tests.log.conftest import Talk, new_talk

Status = Document.Status


@pytest.fixture
def talk(database: str) -> Talk:
    """A conversation in which nothing runs."""
    return new_talk(state=Turn.State.DONE)


async def accept(
    log: EventLog, talk: Talk, documents: tuple[UUID, ...] | None = None, *, claims: bool = True, of: UUID | None = None
) -> Accept:
    work = Accept(talk.conversation_id, Question(str(uuid4()), "And?", documents), lambda: claims, of)
    await log.append(talk.conversation_id, work)
    return work


async def answer(log: EventLog, work: Accept, text: str) -> None:
    assert work.claim is not None
    await log.append(work.claim.conversation_id, End(work.claim, [], Done(text, ())))


def new_documents(talk: Talk, *states: Status) -> list[UUID]:
    owner = Conversation.objects.get(pk=talk.conversation_id).owner
    return [
        Document.objects.create(owner=owner, name=f"{number}.pdf", size=1, status=state).pk
        for number, state in enumerate(states)
    ]


def ids(work: Accept) -> list[UUID]:
    assert work.facts is not None
    return [document.pk for document in work.facts.documents]


def owner_of(talk: Talk) -> UUID:
    return Conversation.objects.get(pk=talk.conversation_id).owner_id


async def test_what_was_said_last_oldest_first(log: EventLog, talk: Talk) -> None:
    for number in range(12):
        await answer(log, await accept(log, talk), f"answer {number}")
    facts = (await accept(log, talk)).facts
    assert facts is not None
    assert facts.recent[-2:] == [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "answer 11"}]
    assert [said["content"] for said in facts.recent[1::2]] == [f"answer {number}" for number in range(2, 12)]
    assert facts.owner_id == await in_thread(owner_of)(talk)


def named(talk: Talk, asked_about: dict[str, tuple[str, str]] | None) -> tuple[list[UUID], str]:
    """Two documents of the same content, the newer first; and which of them a source of that content is told as."""
    ids = new_documents(talk, Status.READY, Status.READY)
    for age, id in enumerate(ids):
        Document.objects.filter(pk=id).update(content_id="c", created_at=timezone.now() - timedelta(days=age))
    [source] = history.named_sources(owner_of(talk), [{"document": "c", "page": 1, "quote": "So."}], asked_about)
    return ids, source["document"]


async def test_a_source_of_several_documents_is_the_oldest_unless_one_was_asked_about(talk: Talk) -> None:
    (_, oldest), told = await in_thread(named)(talk, None)
    assert told == str(oldest)
    assert (await in_thread(named)(talk, {"c": ("the one", "a.pdf"), "d": ("another", "b.pdf")}))[1] == "the one"


def put(talk: Talk, texts: Sequence[str]) -> None:
    about = {"conversation_id": talk.conversation_id, "role": Message.Role.ASSISTANT}
    Message.objects.bulk_create([Message(content=text, **about) for text in texts])


@pytest.mark.parametrize(("longest", "is_told"), [(history.RECENT_CHARACTERS - 1, True), (2_000_000, False)])
async def test_no_more_than_there_is_room_for(log: EventLog, talk: Talk, longest: int, is_told: bool) -> None:
    await in_thread(put)(talk, ["x" * longest, "y"])
    facts = (await accept(log, talk)).facts
    assert facts is not None
    assert [said["content"] for said in facts.recent] == (["x" * longest] if is_told else []) + ["y"]


async def test_what_was_said_of_a_replaced_turn_is_not_told(log: EventLog, talk: Talk) -> None:
    await answer(log, await accept(log, talk), "first")
    second = await accept(log, talk)
    await answer(log, second, "second")
    work = Accept(talk.conversation_id, Question("again", "And?", None, replaces=second.turn_id), lambda: True)
    await log.append(talk.conversation_id, work)
    assert work.facts is not None
    assert [said["content"] for said in work.facts.recent] == ["And?", "first"]


async def test_the_documents_of_the_last_question_with_any_in_their_order(log: EventLog, talk: Talk) -> None:
    read, reading, failed, receiving = await in_thread(new_documents)(
        talk, Status.READY, Status.READING, Status.FAILED, Status.RECEIVING
    )
    named = (receiving, read, failed, reading)
    first = await accept(log, talk, named)
    assert ids(first) == list(named)
    await answer(log, first, "A")
    for _ in range(3):
        work = await accept(log, talk)
        assert ids(work) == [receiving, read, reading]  # the one that could not be read is left behind
        await answer(log, work, "B")
    assert ids(await accept(log, talk, (read,))) == [read]


async def test_a_question_that_waits_is_about_the_same(log: EventLog, talk: Talk) -> None:
    [document] = await in_thread(new_documents)(talk, Status.READING)
    await accept(log, talk, (document,))
    work = Accept(talk.conversation_id, Question("q", "And?", None), lambda: True)
    [stored] = await log.append(talk.conversation_id, work)
    assert stored.event == Accepted("q", "And?", (str(document),), 1)
    assert (work.claim, work.facts) == (None, None)


async def test_a_conversation_that_moved_meanwhile_takes_nothing(log: EventLog, talk: Talk) -> None:
    before = await heads([talk.conversation_id])
    with pytest.raises(NotFound):
        await accept(log, talk, of=uuid4())
    assert await heads([talk.conversation_id]) == before
    assert (await accept(log, talk, of=await in_thread(owner_of)(talk))).turn_id is not None
