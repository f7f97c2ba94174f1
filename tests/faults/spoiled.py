"""The product with one of its protections taken away: what the controls of the fault suite serve instead of it.

`FAULTS_SPOILED` in the environment names the switches, with commas between them. Nothing of this is in the product: its
modules are changed here, inside the worker's process, before it serves.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from epsilon.asgi import application  # first: it sets Django up

from miva import (  # isort: skip
    conversation,
    eventlog,
    following,
    log_news,
    log_rows,
    running_turn,
    sessions,
    turn_keeper,
    turn_rows,
    turn_works,
    v1_dialogue,
)
from miva.eventlog import Entry, Fence  # isort: skip
from miva.follower import Follower  # isort: skip
from miva.hub import News, hub  # isort: skip
from miva.in_thread import in_thread  # isort: skip
from miva.log_rows import Fenced  # isort: skip
from miva.models import Turn  # isort: skip
from miva.protocol.errors import EngineFailed  # isort: skip
from miva.protocol.events import Accepted, Cancelled, Done, Failed, Gap  # isort: skip
from miva.protocol.requests import Resume  # isort: skip

__all__ = ["SWITCHES", "application"]


class BelievesTheLayer(Follower):
    """A reader who reads the log when it begins, and then gets what the layer brings: no poll, no repair of holes."""

    def __init__(self, conversation_id: UUID, label: str, after: int) -> None:
        self._still_reads = True
        super().__init__(conversation_id, label, after)

    def move(self, after: int) -> None:
        self._still_reads = True
        super().move(after)

    def look_at(self, head: int | None) -> None:
        """What the poll has found."""

    def _hear(self, news: News) -> None:
        self._held += eventlog.told(news) or []
        self._head = max(self._head, news["head"])
        self._ring()

    def _take_held(self) -> bool:
        new, self._held = [stored for stored in self._held if stored.seq > self._end], []
        if self._still_reads or not new:
            return False
        self._ahead = new
        self._end = new[-1].seq
        return True

    async def _look(self) -> Gap | None:
        if not self._still_reads:
            self._must_look, self._head = False, self._end
            return None
        for _ in range(50):  # until the layer is listened to, so that nothing is missed without a fault
            if eventlog.topic(self.conversation_id) in hub._joined:
                break
            await asyncio.sleep(0.02)
        gap = await super()._look()
        self._still_reads = self._must_look
        return gap


def _layer_only() -> None:
    """Readers read the log when they come, and then believe the channel layer.

    It carries all of every event then. Otherwise it says of a large one only that it is there, and to read it in the
    log would fill the holes before it as well.
    """
    _put(following, "Follower", BelievesTheLayer)
    _put(log_news, "MOST_CARRIED", 2**30)


def _log_off() -> None:
    """Whoever comes back is told what happens from then on, and not what happened meanwhile."""

    async def resume(dialogue: v1_dialogue.V1Dialogue, request: Resume) -> None:
        found = await in_thread(sessions.labelled)(dialogue._speaker.owner_id, request.conversation)
        dialogue._following.follow(found.pk, found.label, found.head if request.after else 0)

    _put(v1_dialogue.V1Dialogue, "_resume", resume)
    _layer_only()


def _fencing_off() -> None:
    """Whoever ran a turn once may write to it."""
    renewing_held, renewing = log_rows.held, turn_rows.renew

    def held(works: Sequence[Fenced]) -> set[Fence]:
        renewing_held(works)
        return {work.fence for work in works}

    def renew(claims: Sequence[turn_rows.Claim]) -> dict[UUID, bool]:
        return dict.fromkeys((claim.turn_id for claim in claims), False) | renewing(claims)

    _put(log_rows, "held", held)
    _put(turn_rows, "held", lambda claim: Turn.objects.filter(pk=claim.turn_id))
    _put(turn_rows, "renew", renew)


def _takeover_off() -> None:
    """A turn belongs to the process that began it, for ever."""

    async def look(_: turn_keeper.TurnKeeper) -> None:
        pass

    _put(turn_keeper.TurnKeeper, "_look", look)


def _errors_off() -> None:
    """What an engine said before it failed passes for its answer."""
    close = running_turn.RunningTurn._close

    async def swallow(turn: running_turn.RunningTurn, end: Done | Failed | Cancelled) -> Any:
        if isinstance(end, Failed) and isinstance(end.error, EngineFailed) and turn._engine is not None:
            end = Done("".join(turn._engine._text), ())
        return await close(turn, end)

    _put(running_turn.RunningTurn, "_close", swallow)


def _resets_off() -> None:
    """When an engine broke off and is asked again, nobody is told that the words before are void."""
    begin_again = turn_works.AskAgain.__call__

    def begin_silently(work: turn_works.AskAgain, head: int) -> Sequence[Entry]:
        begin_again(work, head)
        return []

    _put(turn_works.AskAgain, "__call__", begin_silently)


def _client_ids_off() -> None:
    """A question that comes again under the same id is a new one."""

    def asked_before(owner_id: UUID, client_id: str) -> None:
        return None

    def question(client_id: str, *more: Any) -> turn_works.Question:
        return turn_works.Question(f"{client_id}#{secrets.token_hex(4)}", *more)

    def accepted(id: str, *more: Any) -> Accepted:
        return Accepted(id.partition("#")[0], *more)

    _put(turn_rows, "asked_before", asked_before)
    _put(conversation, "Question", question)
    _put(turn_works, "Accepted", accepted)


def _put(where: object, name: str, what: object) -> None:
    """Puts something else in the place of a part of the product, which must be there."""
    getattr(where, name)
    setattr(where, name, what)


SWITCHES: dict[str, Callable[[], None]] = {
    "log off": _log_off,
    "layer only": _layer_only,
    "fencing off": _fencing_off,
    "takeover off": _takeover_off,
    "errors off": _errors_off,
    "resets off": _resets_off,
    "client ids off": _client_ids_off,
}

for _name in os.environ["FAULTS_SPOILED"].split(","):
    SWITCHES[_name]()
