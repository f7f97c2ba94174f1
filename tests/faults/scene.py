"""A run under way: the stage and the people on it, as the faults see them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.browser import Tab
from tests.faults.record import Counts
from tests.faults.script import Question
from tests.faults.stage import ENGINE_CONNECT_S, ENGINE_TIMEOUT_S, Stage, Worker
from tests.faults.talks import Person

BEGIN_PATIENCE_S = 20.0
WATCHED_PATIENCE_S = 5.0


@dataclass
class Scene:
    """What a fault has to work with; all its chances come from `rng`."""

    stage: Stage
    people: Sequence[Person]
    tabs: Sequence[Tab]
    counts: Counts
    rng: random.Random

    def running(self) -> list[Question]:
        """Questions that the engine was asked and whose end their asker has not seen."""
        asked = self.stage.engine.asked
        talks = [person.talks[-1] for person in self.people if person.talks]
        return [question for talk in talks for question in talk.open_questions if question.name in asked]

    async def some_owner(self) -> Worker:
        """A worker that owns a running turn at this moment."""
        return self.stage.owner_of(self.rng.choice(await self._some_running()).name)

    async def some_watched_owner(self) -> Worker:
        """A worker that owns a running turn which is watched at the other one, if there is such a turn."""
        for _ in range(int(WATCHED_PATIENCE_S / 0.05)):
            for person in self.people:
                for question in person.talks[-1].open_questions if person.talks else ():
                    owner = self.stage.owner_of(question.name)
                    if person.talks[-1].watcher.is_at(self.stage.other_than(owner), question):
                        return owner
            await asyncio.sleep(0.05)
        return await self.some_owner()

    async def _some_running(self) -> list[Question]:
        for _ in range(int(BEGIN_PATIENCE_S / 0.05)):
            if found := self.running():
                return found
            await asyncio.sleep(0.05)
        raise RuntimeError("no question is answered at all")

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """While this lasts, and as long as its effects may, an answer may fail for the engine's sake."""
        loop = asyncio.get_running_loop()
        span = [loop.time(), float("inf")]
        self.stage.engine_trouble.append(span)
        try:
            yield
        finally:
            span[1] = loop.time() + ENGINE_CONNECT_S + ENGINE_TIMEOUT_S + 2

    def count(self, kind: str) -> None:
        """Notes that a fault happened."""
        self.counts.faults += 1
        self.counts.kinds[kind] += 1
