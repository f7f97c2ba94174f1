"""What people do in a run: conversations, each asked in one tab and watched in another."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.faults.browser import Tab
from tests.faults.record import Counts
from tests.faults.script import Question

LONGEST_TALK = 8
"""Questions of one conversation; then the same people begin another."""
AFTER_AN_ERROR_S = 1.0


@dataclass
class Talk:
    """One conversation of somebody's."""

    label: str
    cookie: str
    asker: Tab
    watcher: Tab
    asked: list[Question] = field(default_factory=list)
    asked_at: dict[str, float] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    """Questions that somebody may have stopped."""

    @property
    def open_questions(self) -> list[Question]:
        """Those of which the asker has not seen the end."""
        return [question for question in self.asked if not self.asker.has_ended(question)]

    async def go_on(self, enough: asyncio.Event, counts: Counts, rng: random.Random, patience: float) -> bool:
        """Asks until it is long enough, and waits for what was asked, `patience` seconds for the end of a turn.

        False where that did not come.
        """
        while not enough.is_set() and len(self.asked) < LONGEST_TALK:
            together = [self._ask(rng) for _ in range(2 if rng.random() < 0.15 else 1)]
            if not await self.asker.see(together[0], end=False, patience=patience):
                counts.surprises.append(f"{together[0].name} was not accepted in time")
                return False
            self.watcher.follow(self.label)
            if rng.random() < 0.06:
                await self._cancel(together[-1], rng)
            for question in together:
                if not await self.asker.see(question, end=True, patience=patience):
                    counts.surprises.append(f"{question.name} had no end in time")
                    return False
            is_well = self.asker.how_ended(together[-1]) != "error"
            await asyncio.sleep(rng.uniform(0, 0.3) if is_well else AFTER_AN_ERROR_S)
        return True

    async def leave(self, counts: Counts, patience: float) -> None:
        """Both tabs are shown the end, and look at it no more."""
        tabs = (self.asker, self.watcher)
        end = max(tab.views[self.label].last for tab in tabs)
        for tab in tabs:
            if not await tab.reach(self.label, end, patience):
                counts.found("lost", end - tab.views[self.label].last, f"{tab.name} never saw the end of {self.label}")
            tab.leave(self.label)

    def _ask(self, rng: random.Random) -> Question:
        question = _question(f"{self.label}q{len(self.asked)}", rng)
        self.asked.append(question)
        self.asked_at[question.name] = asyncio.get_running_loop().time()
        self.asker.ask(self.label, question)
        return question

    async def _cancel(self, question: Question, rng: random.Random) -> None:
        """Stops a question in the one or the other tab, perhaps before it begins."""
        await asyncio.sleep(rng.uniform(0, 0.8))
        tab = rng.choice((self.asker, self.watcher))
        self.cancelled.add(question.name)
        tab.cancel(question)


class Person:
    """Somebody with two tabs, in which one conversation follows on the other; `talks` are all of them so far."""

    def __init__(self, name: str, cookie: str, tabs: tuple[Tab, Tab], counts: Counts, seed: str) -> None:
        self.talks: list[Talk] = []
        self._name = name
        self._cookie = cookie
        self._tabs = tabs
        self._counts = counts
        self._rng = random.Random(seed)

    async def go_on(self, enough: asyncio.Event, patience: float) -> None:
        """Talks until there was enough, or until a turn has no end."""
        while not enough.is_set():
            talk = Talk(f"{self._name}t{len(self.talks)}", self._cookie, *self._tabs)
            self.talks.append(talk)
            if not await talk.go_on(enough, self._counts, self._rng, patience):
                return
            await talk.leave(self._counts, patience)


def _question(name: str, rng: random.Random) -> Question:
    repeats_all = rng.random() < 0.5
    match rng.random():
        case chance if chance < 0.1:  # more at once than one message of the layer carries
            return Question(name, rng.randrange(3000, 9000), 1000, rng.randrange(5, 50), repeats_all)
        case chance if chance < 0.2:
            return Question(name, rng.randrange(1, 4), 1, rng.randrange(1, 30), repeats_all)
        case chance if chance < 0.35:
            return Question(name, rng.randrange(20, 60), 1, rng.randrange(60, 120), repeats_all)
        case _:
            return Question(name, rng.randrange(40, 160), rng.randrange(1, 6), rng.randrange(8, 50), repeats_all)
