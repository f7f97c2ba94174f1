"""A question of a query or miva.v1 client as it is asked or stopped: found again, or stored, accepted and started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError

from miva import document_rows, history, question_files, turn_rows, turn_runner
from miva.eventlog import log
from miva.history import storable
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.limits import limits
from miva.models import Turn
from miva.protocol.errors import Busy, NotFound, RateLimited
from miva.protocol.events import Accepted
from miva.protocol.requests import Ask
from miva.question_files import InlineFile
from miva.running_turn import Why
from miva.turn_keeper import keeper
from miva.turn_rows import Asked
from miva.turn_works import Accept, Cancel, Question

__all__ = ["Asked", "ask", "cancel"]


async def ask(
    speaker: Speaker,
    request: Ask,
    caller: str,
    *,
    all_documents: bool = False,
    followed: tuple[UUID, str] | None = None,
) -> Asked:
    """Stores a question and starts its turn; asked before under the same id, it finds that turn.

    Returns when `accepted` is in the log. A question that is new counts for the limit of `caller`. `all_documents` asks
    about everything the owner has, without options. `followed` is the conversation (key and label) where the caller
    knows it, so that a question of words alone needs no look into the database before its one commit; there one that
    was asked before counts too, but is found also beyond the limit. Raises MivaError for what makes it no turn at all.
    """
    keeper.start()
    is_words_alone = not (request.documents or request.files or request.replaces or all_documents)
    if followed is not None and is_words_alone:
        asked = await _ask_at_once(speaker.owner_id, request, caller, followed)
        if asked is not None:
            return asked
    found = await in_thread(_look_up)(speaker.owner_id, request, all_documents)
    if isinstance(found, Asked):
        return found
    if turn_runner.is_full():
        raise Busy()
    await limits.take_question(caller)
    files = await question_files.receive(speaker.owner_id, request)
    asked = None
    try:
        about = None if found.documents is None else [*found.documents, *(file.document.pk for file in files)]
        question = _question(request, about, has_options=not all_documents)
        label = request.conversation
        if files:  # they take long, and meanwhile it may be made or deleted
            known = await in_thread(history.conversation_of)(speaker.owner_id, label)
        else:
            known = found.conversation or await in_thread(history.new_conversation)(speaker.owner_id, label)
        asked = await _store(question, known, files)
    finally:
        if asked is None:
            await question_files.abandon(files, request.id)
    if asked is None:
        asked = await in_thread(turn_rows.asked_before)(speaker.owner_id, storable(request.id))
    if asked is None:
        raise NotFound("The conversation moved or was deleted at this moment. Please ask again.")
    return asked


async def _ask_at_once(owner_id: UUID, request: Ask, caller: str, known: tuple[UUID, str]) -> Asked | None:
    """Stores a question of words alone without a look into the database before that; None where one is needed: it was
    asked before, its conversation moved or was deleted, or it is one too many."""
    if turn_runner.is_full():
        return None
    try:
        await limits.take_question(caller)
        return await _store(_question(request, None, has_options=True), known, owner_id=owner_id)
    except (NotFound, RateLimited):
        return None


async def cancel(speaker: Speaker, turn_id: str) -> None:
    """Stops a turn of the speaker's: a waiting one is never asked, a finished one stays. Raises NotFound."""
    key, conversation_id = await in_thread(turn_rows.find)(speaker.owner_id, turn_id)
    work = Cancel(key)
    await log.append(conversation_id, work)
    if work.was == Turn.State.RUNNING:
        turn_runner.stop_everywhere(key, Why.CANCELLED)
    elif work.was == Turn.State.WAITING:
        reading = question_files.of(key)
        if reading is not None:
            reading.stop()
        turn_runner.ring()  # the one behind it may be the first now


@dataclass(frozen=True, slots=True)
class _Found:
    """What a new question is about (None: what is in use), and its conversation (key and label) where there is one."""

    documents: Sequence[UUID] | None
    conversation: tuple[UUID, str] | None


def _look_up(owner_id: UUID, request: Ask, all_documents: bool) -> Asked | _Found:
    """The turn, where this was asked before, else what there is for a new one."""
    before = turn_rows.asked_before(owner_id, storable(request.id))
    if before is not None:
        return before
    if request.replaces is not None:
        turn_rows.find(owner_id, request.replaces, storable(request.conversation or ""))
    known = history.known_conversation(owner_id, request.conversation) if request.conversation else None
    if all_documents:
        documents = document_rows.all_ready(owner_id)
    elif request.documents or request.files:
        documents = document_rows.owned(owner_id, request.documents)
    else:
        return _Found(None, known)
    return _Found(documents, known)


def _question(request: Ask, about: Sequence[UUID] | None, *, has_options: bool) -> Question:
    return Question(
        storable(request.id),
        storable(request.message),
        None if about is None else tuple(dict.fromkeys(about)),
        {} if has_options else None,
        UUID(request.replaces) if request.replaces else None,
    )


async def _store(
    question: Question, known: tuple[UUID, str], files: Sequence[InlineFile] = (), owner_id: UUID | None = None
) -> Asked | None:
    """Logs `accepted` and starts what then runs here; None where the same id was asked before. Raises as Accept."""
    conversation_id, label = known
    work = Accept(conversation_id, question, may_claim=turn_runner.has_room, owner_id=owner_id)
    try:
        stored = await log.append(conversation_id, work)
    except IntegrityError:  # in another conversation
        return None
    if work.turn_id is None:
        return None
    accepted = stored[-1].event
    assert isinstance(accepted, Accepted)
    if files:
        question_files.begin(work.turn_id, question.client_id, files)
    for turn_id in work.stopped:
        turn_runner.stop_everywhere(turn_id, Why.LOST)
    if work.claim is not None:
        turn_runner.run(work.claim, work.facts)
    elif not accepted.position:
        turn_runner.ring()  # there is no room for it here
    return Asked(conversation_id, label, work.turn_id, stored[-1].seq, accepted, is_new=True)
