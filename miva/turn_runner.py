"""The turns that run in this process: begun, stopped, left to others; and the bell by which processes hear of turns."""

from __future__ import annotations

import asyncio
from uuid import UUID

from miva import stopping
from miva.hub import News, hub
from miva.running_turn import RunningTurn, Why
from miva.turn_facts import Facts
from miva.turn_rows import Claim

BELL = "turns"
"""The topic on which processes tell each other of turns: one to be stopped, or some that nobody runs."""
MOST_RUNNING = 1000
"""Turns in flight in one process."""

turns_here: dict[UUID, RunningTurn] = {}
_tasks: dict[asyncio.Task[None], RunningTurn] = {}
"""Those, and turns that are over but whose engine may still send something."""


def is_full() -> bool:
    """Whether so many turns run here that no more are accepted."""
    return len(turns_here) >= MOST_RUNNING


def has_room() -> bool:
    """Whether this process may run one turn more; may be asked from any thread."""
    return not stopping.has_begun() and not is_full()


def run(claim: Claim, facts: Facts | None = None) -> None:
    """Runs a turn that this process has taken, and then what waits behind it; `facts` where they are known already.

    Where the process is about to end, the turn is left to be handed over.
    """
    if stopping.has_begun():
        return
    turn = RunningTurn(claim, on_end=_forget, facts=facts)
    turns_here[claim.turn_id] = turn
    task = turn.start()
    _tasks[task] = turn
    task.add_done_callback(lambda _: _tasks.pop(task, None))


def stop(turn_id: UUID, why: Why) -> None:
    """Stops a turn if it runs here; its task goes on until the engine's connection is closed."""
    turn = turns_here.get(turn_id)
    if turn is not None:
        turn.stop(why)


def stop_everywhere(turn_id: UUID, why: Why) -> None:
    """Stops a turn whichever process runs it."""
    _ring({"kind": "stop", "turn": str(turn_id), "why": why.name})


def ring() -> None:
    """Tells all processes that there may be turns that nobody runs."""
    _ring({"kind": "look"})


def hear(news: News) -> bool:
    """Does what the bell says; True where it says that there may be turns that nobody runs."""
    match news:
        case {"kind": "stop", "turn": str(turn_id), "why": str(why)}:
            stop(UUID(turn_id), Why[why])
            return False
        case _:
            return True


def leave_all() -> list[UUID]:
    """Stops everything that goes on here, but for turns that are storing their end; returns what another process may
    take at once."""
    left = [turn_id for turn_id, turn in turns_here.items() if turn.stop(Why.LOST)]
    for task, turn in _tasks.items():
        if turn.is_over:
            task.cancel()
    return left


async def all_ended(patience_s: float) -> None:
    """Waits until nothing goes on here any more, for so long at most."""
    if _tasks:
        await asyncio.wait(tuple(_tasks), timeout=patience_s)


def _forget(turn: RunningTurn, following: Claim | None) -> None:
    if turns_here.get(turn.claim.turn_id) is turn:
        del turns_here[turn.claim.turn_id]
    if following is not None:
        run(following)


def _ring(news: News) -> None:
    hub.tell(BELL, news)
