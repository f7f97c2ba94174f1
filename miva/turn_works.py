"""What happens to turns: accepted, claimed, taken over, ended. Each is a work for the event log, so that the change and
the events that tell it are one commit, with the conversation's row locked.

A work may be called more than once (a commit that failed is tried again); its results are those of the last call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from miva import document_rows, history, lease, stopping, turn_rows
from miva.eventlog import Entry, FencedOff
from miva.models import Document, Turn
from miva.protocol.errors import Busy, Internal, NotFound
from miva.protocol.events import Accepted, Cancelled, Done, Event, Failed, Reply, Reset
from miva.turn_facts import Facts
from miva.turn_rows import Claim

MOST_ATTEMPTS = 3
"""How often a question is asked before its turn fails (contract section 3.3, `reset`)."""
MOST_UNFINISHED = 100
"""Turns of one conversation that may wait or run."""
_END_STATES: dict[type[Event], Turn.State] = {
    Done: Turn.State.DONE,
    Failed: Turn.State.FAILED,
    Cancelled: Turn.State.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it is to be stored; `documents` exist and are the owner's, None stands for those in use."""

    client_id: str
    message: str
    documents: tuple[UUID, ...] | None = ()
    options: dict[str, Any] | None = None
    replaces: UUID | None = None


class Accept:
    """Stores a question, unless its owner's client has asked it before; claims it where nothing is before it."""

    def __init__(
        self,
        conversation_id: UUID,
        question: Question,
        may_claim: Callable[[], bool],
        owner_id: UUID | None = None,
    ) -> None:
        """`owner_id`: whose the conversation must be, where that was not looked up at this moment."""
        self._conversation_id = conversation_id
        self._question = question
        self._may_claim = may_claim
        self._owner_id = owner_id
        self.turn_id: UUID | None = None
        """The new turn; None where the same id was asked before."""
        self.claim: Claim | None = None
        self.facts: Facts | None = None
        """What its engine is told, where it was claimed."""
        self.stopped: list[UUID] = []
        """Turns that ran and were replaced: whoever runs them must hear that they are over."""

    def __call__(self, head: int) -> Sequence[Entry]:
        self.turn_id, self.claim, self.facts, self.stopped = None, None, None, []
        asked = self._question
        before = turn_rows.before_accepting(self._conversation_id, asked.client_id)
        owner_id, position, recent = before.owner_id, before.unfinished, before.recent
        if self._owner_id not in (None, owner_id):
            raise NotFound("There is no such conversation.")
        if before.is_known:
            return []
        documents = self._documents(before)
        entries: list[Entry] = []
        if asked.replaces:
            entries = self._replace(owner_id, asked.replaces)
            position = turn_rows.unfinished(self._conversation_id).count()
            recent = history.recent(self._conversation_id)
        if position >= MOST_UNFINISHED:
            raise Busy("Too many questions wait in this conversation. Please wait for an answer.")
        is_ours = not position and self._may_claim()
        seq = head + len(entries) + 1
        turn_id = turn_rows.insert(
            owner_id, self._conversation_id, seq, asked.client_id, asked.message, asked.options, is_ours=is_ours
        )
        if documents:
            turn_rows.link(turn_id, [document.pk for document in documents])
        self.turn_id = turn_id
        if is_ours:  # its engine can be asked at once
            self.claim = Claim(turn_id, self._conversation_id, 1, asked.message, asked.options)
            self.facts = Facts(owner_id, documents, recent)
        about = tuple(str(document.pk) for document in documents)
        return [*entries, Entry(turn_id, 0, Accepted(asked.client_id, asked.message, about, position))]

    def _documents(self, before: turn_rows.Before) -> list[Document]:
        """What the question is about, in its order; of those in use none that could not be read."""
        named = self._question.documents
        ids = before.in_use if named is None else named
        there = document_rows.by_key(ids).items()
        found = {id: document for id, document in there if document.owner_id == before.owner_id}
        if named is None:
            return [found[id] for id in ids if id in found and found[id].status != Document.Status.FAILED]
        if len(found) != len(named):
            raise NotFound("A document was deleted at this moment. Please ask again.")
        return [found[id] for id in named]

    def _replace(self, owner_id: UUID, replaced_id: UUID) -> list[Entry]:
        """Ends a turn and those after it where they are not over, and takes their messages out of the history."""
        mine = Turn.objects.filter(conversation_id=self._conversation_id, owner_id=owner_id)
        first = mine.filter(pk=replaced_id).values_list("accepted_seq", flat=True).first()
        if first is None:
            raise NotFound("There is no such turn in this conversation.")
        entries = []
        for turn in turn_rows.unfinished(self._conversation_id).filter(accepted_seq__gte=first):
            if turn.state == Turn.State.RUNNING:
                self.stopped.append(turn.pk)
            entries.append(Entry(turn.pk, turn.attempt, Cancelled()))
        turn_rows.unfinished(self._conversation_id).filter(accepted_seq__gte=first).update(state=Turn.State.CANCELLED)
        history.forget_from(self._conversation_id, first)
        return entries


class End:
    """Ends a running turn: what was still to be told, its end, its question and the answer as messages, what the engine
    has taken of its documents; claims the next one waiting.

    Raises FencedOff where another process has taken the turn.
    """

    def __init__(
        self, claim: Claim, before: Sequence[Event], end: Event, indexed: Mapping[str, int] | None = None
    ) -> None:
        """`end` is Done (with text, html and sources as clients see them), Failed or Cancelled; `indexed` are the
        chunks of the question's documents (by content id) that the engine took with it."""
        self._claim = claim
        self._before = before
        self._end = end
        self._indexed = indexed or {}
        self.message_id: int | None = None
        self.next: Claim | None = None

    def __call__(self, _: int) -> Sequence[Entry]:
        if not turn_rows.end(self._claim, _END_STATES[type(self._end)]):
            raise FencedOff
        for content_id, chunks in self._indexed.items():
            turn_rows.note_chunks(self._claim.turn_id, content_id, chunks)
        end = self._end
        if isinstance(end, Done):
            self.message_id = history.record_turn(self._claim.turn_id, end.text, end.sources)
            end = replace(end, message_id=self.message_id)
        else:
            history.record_unanswered(self._claim.turn_id)
        self.next = None if stopping.has_begun() else turn_rows.take_next(self._claim.conversation_id)
        return self._claim.entries([*self._before, end])


class AskAgain:
    """Begins the next attempt of a turn whose engine broke off, in the same process. Raises FencedOff."""

    def __init__(self, claim: Claim) -> None:
        self.claim = replace(claim, attempt=claim.attempt + 1)
        self._before = claim

    def __call__(self, _: int) -> Sequence[Entry]:
        if not turn_rows.held(self._before).update(attempt=self.claim.attempt, lease_until=lease.ends_at()):
            raise FencedOff
        return self.claim.entries([Reset(self.claim.attempt)])


class LateReply:
    """A frame that an untyped engine sent after the turn's end joins the answer; no event where that is gone."""

    def __init__(self, claim: Claim, message_id: int, reply: Reply) -> None:
        self._claim = claim
        self._message_id = message_id
        self._reply = reply

    def __call__(self, _: int) -> Sequence[Entry]:
        ours = Turn.objects.filter(pk=self._claim.turn_id, worker=lease.WORKER, attempt=self._claim.attempt)
        if not ours.filter(state=Turn.State.DONE).exists() or not history.add_late(self._message_id, self._reply.text):
            return []
        return self._claim.entries([self._reply])


class Cancel:
    """Stops a turn: ends a waiting one, and leaves word for whoever runs a running one."""

    def __init__(self, turn_id: UUID) -> None:
        self._turn_id = turn_id
        self.was: Turn.State | None = None

    def __call__(self, _: int) -> Sequence[Entry]:
        turn = Turn.objects.filter(pk=self._turn_id)
        self.was = Turn.State(turn.values_list("state", flat=True).get())
        if self.was == Turn.State.RUNNING:
            turn.update(cancel_asked=True)
        if self.was != Turn.State.WAITING:
            return []
        turn.update(state=Turn.State.CANCELLED)
        history.record_unanswered(self._turn_id)
        return [Entry(self._turn_id, 0, Cancelled())]


class Take:
    """Takes a turn that nobody runs: one whose lease ran out, or that waits with nothing before it.

    A turn that was to be cancelled, or was asked often enough, ends instead; the one behind it is then taken.
    """

    def __init__(self, found: turn_rows.Abandoned) -> None:
        self._found = found
        self.claim: Claim | None = None
        self.has_given_up = False
        """Whether it was asked often enough."""

    def __call__(self, _: int) -> Sequence[Entry]:
        self.claim, self.has_given_up = None, False
        found = self._found
        turn = turn_rows.abandoned().filter(pk=found.turn_id, attempt=found.attempt).first()
        if turn is None:  # somebody was faster
            return []
        if turn.state == Turn.State.WAITING:
            self.claim = turn_rows.take(turn)
            return []
        end: Event | None = None
        if turn.cancel_asked:
            end = Cancelled()
        elif turn.attempt >= MOST_ATTEMPTS:
            self.has_given_up = True
            end = Failed(Internal("The answer was begun three times and broke off each time. Please ask again."))
        if end is None:
            self.claim = turn_rows.take(turn)
            return self.claim.entries([Reset(self.claim.attempt)])
        Turn.objects.filter(pk=turn.pk).update(state=_END_STATES[type(end)], worker="")
        history.record_unanswered(turn.pk)
        self.claim = turn_rows.take_next(turn.conversation_id)
        return [Entry(turn.pk, turn.attempt, end)]
