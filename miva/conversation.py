"""A question of a query or miva.v1 client as it is asked or stopped: found again, or stored, accepted and started."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from miva import document_rows, history, library
from miva.documents import reader
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.models import Document, Turn
from miva.protocol.errors import Busy, NotFound
from miva.protocol.events import Accepted, Place
from miva.protocol.requests import Ask
from miva.running_turn import InlineDocument, RunningTurn, Tell, hold_thread, turns_here

MOST_RUNNING = 1000
"""Turns in flight in one process."""


async def ask(speaker: Speaker, request: Ask, tell: Tell, *, all_documents: bool = False) -> None:
    """Stores a question, tells `accepted` and starts its turn; asked before under the same id, it tells only that.

    `all_documents` asks about everything the owner has. Raises MivaError for what makes it no turn at all.
    """
    before = await in_thread(history.find_turn)(speaker.owner_id, request.id)
    if before is not None:
        await _tell_again(before, tell)
        return
    if len(turns_here) >= MOST_RUNNING:
        raise Busy()
    if all_documents:
        documents = await in_thread(document_rows.all_ready)(speaker.owner_id)
    elif request.conversation and not request.documents and not request.files:
        documents = await in_thread(history.documents_in_use)(speaker.owner_id, request.conversation)
    else:
        documents = await in_thread(document_rows.owned)(speaker.owner_id, request.documents)
    files = await _receive(speaker, request)
    has_started = False
    try:
        has_started = await _open(speaker, request, tell, documents, files, is_numbered=not all_documents)
    finally:
        if not has_started:
            await _abandon(files, request)


async def _open(
    speaker: Speaker,
    request: Ask,
    tell: Tell,
    documents: Sequence[Document],
    files: Sequence[InlineDocument],
    *,
    is_numbered: bool,
) -> bool:
    """Stores the question and starts its turn; False where the same id was asked at the same moment elsewhere."""
    about = [document.pk for document in documents] + [file.document.pk for file in files]
    conversation = await in_thread(history.conversation_of)(speaker.owner_id, request.conversation)
    thread = hold_thread(conversation.pk)
    has_started = False
    try:
        async with thread.telling:
            turn, is_new = await in_thread(history.open_turn)(
                conversation, request.id, request.message, about, thread.next_seq
            )
            if is_new:
                position = len(thread.turns)
                RunningTurn(turn, speaker, thread, tell, is_numbered=is_numbered).start(documents, files)
                has_started = True  # from here on the turn holds the thread; it tells nothing before we let go
                accepted = Accepted(request.id, request.message, tuple(map(str, about)), position)
                await tell(accepted, Place(conversation.label, str(turn.pk), turn.accepted_seq))
        if not is_new:
            await _tell_again(turn, tell)
    finally:
        if not has_started:
            thread.release(conversation.pk)
    return has_started


async def cancel(speaker: Speaker, turn_id: str) -> None:
    """Stops a turn of the speaker's: a waiting one is never asked, a finished one stays. Raises NotFound."""
    try:
        key = UUID(turn_id)
    except ValueError as why:
        raise NotFound("There is no such turn.") from why
    if await in_thread(history.owner_of_turn)(key) != speaker.owner_id:
        raise NotFound("There is no such turn.")
    running = turns_here.get(key)
    if running is not None:
        running.cancel()


async def _receive(speaker: Speaker, request: Ask) -> list[InlineDocument]:
    files: list[InlineDocument] = []
    try:
        for file in request.files:
            received = await reader.receive_base64(file.content, name=file.name, declared=file.media_type)
            document = await library.begin(speaker.owner_id, received, request.id)
            files.append(InlineDocument(document, received, file.password))
    except BaseException:
        await _abandon(files, request)
        raise
    return files


async def _abandon(files: Sequence[InlineDocument], request: Ask) -> None:
    """Lets go of files whose question came to nothing."""
    for file in files:
        file.received.discard()
        await library.abandon(file.document, request.id)


async def _tell_again(turn: Turn, tell: Tell) -> None:
    about = tuple(str(document.pk) for document in turn.documents.all())
    place = Place(turn.conversation.label, str(turn.pk), turn.accepted_seq)
    await tell(Accepted(turn.client_id, turn.message, about, 0), place)
