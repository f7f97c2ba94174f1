"""What a serving process does for the turns of all: renews its own leases, notices cancels, and takes what nobody runs.

It does so whether or not any client is connected: a question that was accepted is answered, or fails with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from miva import background_reading, database_away, eventlog, lease, stopping, turn_rows, turn_runner
from miva.eventlog import log
from miva.hub import News, hub
from miva.identity import SessionStore
from miva.in_thread import in_thread
from miva.protocol.errors import NotFound
from miva.running_turn import Why
from miva.silence import unhurried
from miva.turn_runner import turns_here
from miva.turn_works import Take

logger = logging.getLogger("miva.turn_keeper")

MOST_TAKEN = 50
"""Turns that are taken at one look."""
BLIND_AFTER = 2.5
"""Looks that were due and did not come, after which the world is taken to have stood still."""
TIDY_S = 3600.0
HAND_OVER_S = 3.0
"""How long turns may take to let go of their engines when the process ends."""

_own_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turn-keeper")
"""Leases must not wait behind other work."""


class TurnKeeper:
    """The one of this process; all methods belong to its event loop."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: asyncio.Task[None] | None = None
        self._bell = asyncio.Event()
        self._endings: list[Callable[[], None]] = []
        self._pause = settings.MIVA_LEASE_S / lease.RENEWALS
        self._looked_at: float | None = None
        self._in_trouble: set[str] = set()

    def start(self) -> None:
        """Begins to look after turns; safe to call again."""
        if self._tasks or stopping.has_begun():
            return
        pause = self._pause
        self._tasks = [
            asyncio.create_task(self._again_and_again(work, pause, bell), name=f"keeper:{work.__name__}")
            for work, pause, bell in (
                (self._renew, pause, asyncio.Event()),
                (self._look, pause, self._bell),
                (background_reading.take_over_stale, pause, asyncio.Event()),
                (self._tidy, TIDY_S, asyncio.Event()),
            )
        ]
        self._endings = [hub.subscribe(turn_runner.BELL, self._hear), stopping.subscribe(self._leave)]

    async def stop(self) -> None:
        """Hands over what runs here, and returns when nothing of it goes on; `stopping` has begun."""
        if self._leaving is not None:
            await self._leaving

    async def _again_and_again(self, work: Callable[[], Awaitable[object]], pause: float, bell: asyncio.Event) -> None:
        name = work.__name__
        while True:
            bell.clear()
            try:
                await work()
                self._in_trouble.discard(name)
            except (DatabaseError, InterfaceError) as why:  # what runs goes on while it may
                if not self._in_trouble:  # one line, for all that is to be done
                    words = "The database does not let turns be looked after (%s); trying again"
                    database_away.note(logger, logging.WARNING, words, why)
                self._in_trouble.add(name)
            except Exception:
                logger.exception("Turns could not be looked after; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # `wait_for` forgets a cancel that comes with the bell, before 3.12
                    await bell.wait()

    async def _renew(self) -> None:
        claims = [turn.claim for turn in turns_here.values()]
        if not claims:
            return
        ours = await in_thread(turn_rows.renew, _own_thread)(claims)
        for claim in claims:
            if claim.turn_id not in ours:
                turn_runner.stop(claim.turn_id, Why.LOST)
            elif ours[claim.turn_id]:
                turn_runner.stop(claim.turn_id, Why.CANCELLED)

    async def _look(self) -> None:
        """Takes what nobody runs."""
        while turn_runner.has_room():
            found = await in_thread(turn_rows.find_abandoned, _own_thread)(MOST_TAKEN)
            if self._was_blind():
                await asyncio.sleep(self._pause)
                self._looked_at = None
                return
            # What runs here is overdue where this process slept: its own renewal comes, or it hears that it lost it.
            found = [turn for turn in found if turn.turn_id not in turns_here]
            await asyncio.gather(*(self._take(turn) for turn in found))
            if len(found) < MOST_TAKEN:
                return

    def _was_blind(self) -> bool:
        """Whether this is the first look after a long time: the database was away, perhaps, or the whole machine stood
        still. Nobody could renew a lease then, and who still lives does that first."""
        now = asyncio.get_running_loop().time()
        last, self._looked_at = self._looked_at, now
        return last is not None and now - last > BLIND_AFTER * self._pause

    async def _take(self, found: turn_rows.Abandoned) -> None:
        work = Take(found)
        with contextlib.suppress(NotFound):  # the conversation was deleted
            await log.append(found.conversation_id, work)
        if work.has_given_up:
            logger.error("Turn %s failed: it was begun %d times and broke off", found.turn_id, found.attempt)
        if work.claim is not None:
            if found.attempt and work.claim.turn_id == found.turn_id:
                logger.info("Turn %s was left by its process, attempt %d begins", found.turn_id, work.claim.attempt)
            turn_runner.run(work.claim)

    async def _tidy(self) -> None:
        await in_thread(_tidy)(timezone.now() - timedelta(hours=settings.MIVA_LOG_HOURS))

    def _hear(self, news: News) -> None:
        if turn_runner.hear(news):
            self._bell.set()

    def _leave(self) -> None:
        self._leaving = asyncio.create_task(self._hand_over(), name="turn-keeper-leaving")

    async def _hand_over(self) -> None:
        """Lets others take what runs here: at once what is in the middle of an answer, the rest when it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            left = turn_runner.leave_all()
            if left and await in_thread(turn_rows.hand_over, _own_thread)(left):
                turn_runner.ring()
            await background_reading.hand_over()
            await turn_runner.all_ended(HAND_OVER_S)
            await asyncio.to_thread(log.close)  # what was accepted or taken at this moment is in the database then
            await in_thread(turn_rows.hand_over, _own_thread)(None)
        except (DatabaseError, InterfaceError) as why:
            words = database_away.in_words(why)
            logger.error("What runs here could not be handed over (%s); it is taken when its lease runs out", words)
        except Exception:
            logger.exception("What runs here could not be handed over; it will be taken when its lease runs out")
        turn_runner.ring()
        for end in self._endings:
            end()


def _tidy(older_than: datetime) -> None:
    with unhurried():
        eventlog.prune(older_than)
        SessionStore.clear_expired()


keeper = TurnKeeper()
"""The keeper of this process."""
