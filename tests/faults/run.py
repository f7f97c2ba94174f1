"""One run: people talk, faults come, and in the end everything is checked."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.browser import Tab
from tests.faults.kinds import AT_WORST, BROWSER, OTHERS
from tests.faults.record import Counts
from tests.faults.scene import Scene
from tests.faults.stage import Stage, stage
from tests.faults.stream_tab import StreamTab
from tests.faults.talks import Person
from tests.faults.verdict import judge
from tests.postgres_server import PostgresServer
from tests.product import PATIENCE_S

logger = logging.getLogger("faults")


@dataclass(frozen=True)
class Plan:
    """What happens in a run; everything in it by chance comes from `seed`."""

    seed: str
    faults: Sequence[str]
    """Kinds of `OTHERS`, in their order."""
    at_worst: bool = False
    """Whether they come as `AT_WORST` has them."""
    people: int = 6
    """Each has two tabs, and two conversations at a time; every third watches by server-sent events."""
    in_tabs: Sequence[str] = tuple(BROWSER)
    """Kinds of `BROWSER`, which come all the time."""
    in_tabs_pause_s: float = 0.7
    """Between two of those, on average."""
    pause_s: float = 0.6
    """Between two of the others, on average."""
    last_s: float = 2.0
    """How long people go on when all faults are over."""
    patience: float = 3 * PATIENCE_S
    """Seconds until a turn has its end."""


async def run(folder: Path, plan: Plan, postgres: PostgresServer | None = None) -> Counts:
    """Plays a plan on a stage of its own."""
    async with stage(folder, postgres) as on_stage:
        counts = await play(on_stage, plan)
    log = on_stage.log()
    counts.surprises += _traces(log)
    for turn, question in counts.given_up.items():
        logger.info("%s ended with internal; of it the workers say:\n%s", question, _about(log, turn))
    return counts


async def play(on_stage: Stage, plan: Plan) -> Counts:
    """Plays a plan with people of its own."""
    counts = Counts()
    people: list[Person] = []
    tabs: list[Tab] = []
    for number, cookie in enumerate(await on_stage.guests(plan.people)):
        name, seed = f"p{number}", f"{plan.seed} p{number}"
        one, other = (
            kind(f"{name}{n}", cookie, on_stage.workers, counts, f"{seed} tab {n}")
            for n, kind in enumerate((Tab, StreamTab if number % 3 == 2 else Tab))
        )
        tabs += [one.open(), other.open()]
        people += [Person(f"{name}{n}", cookie, (one, other), counts, f"{seed}{n}") for n in "ab"]
    enough = asyncio.Event()
    going_on = [asyncio.create_task(person.go_on(enough, plan.patience)) for person in people]
    scene = Scene(on_stage, people, tabs, counts, random.Random(f"{plan.seed} faults"))
    try:
        in_tabs = asyncio.create_task(_in_tabs(scene, plan))
        await _one_by_one(scene, plan)
        await asyncio.sleep(plan.last_s)
        in_tabs.cancel()
        await asyncio.gather(in_tabs, return_exceptions=True)
        enough.set()
        await asyncio.gather(*going_on)
        await judge(on_stage, [talk for person in people for talk in person.talks], counts, plan.patience / 3)
    finally:
        for task in going_on:
            task.cancel()
        await asyncio.gather(*going_on, *(tab.close() for tab in tabs), return_exceptions=True)
    return counts


def _traces(log: str) -> list[str]:
    """The traces in a server's log, but for those that channels_redis leaves when Redis goes away behind its back."""
    _, *found = log.split("Traceback (most recent call last):")
    traces = [trace[:2000] for trace in found if "_clean_receive_backup" not in trace[:500]]
    return [f"a trace: {trace}" for trace in traces[:3]]


def _about(log: str, turn: str) -> str:
    """What a server's log says of a turn."""
    return "\n".join(line for line in log.splitlines() if turn in line)


async def _one_by_one(scene: Scene, plan: Plan) -> None:
    for kind in plan.faults:
        await asyncio.sleep(scene.rng.uniform(0.5, 1.5) * plan.pause_s)
        begun = time.monotonic()
        fault = AT_WORST.get(kind) if plan.at_worst else None
        await (fault or OTHERS[kind])(scene)
        scene.count(kind)
        logger.info("%s: %.1f s", kind, time.monotonic() - begun)


async def _in_tabs(scene: Scene, plan: Plan) -> None:
    """Faults of single tabs, also several at a time, with chances of their own."""
    own = replace(scene, rng=random.Random(f"{plan.seed} tabs"))
    under_way: set[asyncio.Task[None]] = set()
    try:
        while plan.in_tabs:
            await asyncio.sleep(own.rng.uniform(0.5, 1.5) * plan.in_tabs_pause_s)
            kind = own.rng.choice(plan.in_tabs)
            own.count(kind)
            task = asyncio.create_task(BROWSER[kind](own))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    finally:
        await asyncio.gather(*under_way)
