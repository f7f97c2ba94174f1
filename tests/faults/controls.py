"""The controls: each kind of fault once more, with the protection against it taken away; it must show losses then.

Without them nobody would know whether the suite can see anything.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.faults.kinds import BROWSER, OTHERS
from tests.faults.record import Counts
from tests.faults.run import Plan, play
from tests.faults.stage import stage
from tests.product import PATIENCE_S

logger = logging.getLogger("faults")

UNTERMINATED_S = 20.0 * PATIENCE_S / 30.0
"""How long a turn may take in a control: what has no end then has none."""
IN_VAIN_S = UNTERMINATED_S / 3
"""How long is waited in the other controls, where an end that a tab was never shown will not come."""
TIMES = 3
"""How often a kind of fault comes in its control, but for those of which one takes long."""
LONG = {"owner killed", "other killed", "both killed", "worker ended", "all at once"}
SUBTLE = {"redis troubled", "browser deaf"}
"""Where one costs a message at most, and often none: they come twice as often, those of tabs for twice as long."""
TRIES = 3
"""How often a control is played until it shows losses: a fault may hit nothing by chance."""
CALM = "no fault"


@dataclass(frozen=True)
class Control:
    """A fault, a switch of `spoiled.SWITCHES` that takes away what protects against it, and the loss it shows."""

    fault: str
    spoiled: str
    shows: str


CONTROLS = (
    Control("browser away", "log off", "lost"),
    Control("browser vanishes", "log off", "lost"),
    Control("door troubled", "log off", "lost"),
    Control("other killed", "log off", "lost"),
    Control("redis killed", "layer only", "lost"),
    Control("redis flushed", "layer only", "lost"),
    Control("redis full", "layer only", "lost"),
    Control("redis troubled", "layer only", "lost"),
    Control("owner killed", "takeover off", "unterminated"),
    Control("both killed", "takeover off", "unterminated"),
    Control("worker ended", "takeover off", "unterminated"),
    Control("all at once", "takeover off", "unterminated"),
    Control("owner stopped", "fencing off", "dup"),
    Control("engine killed", "errors off", "lost"),
    Control("engine silent", "errors off", "lost"),
    Control("engine garbage", "errors off", "lost"),
    Control("engine cut", "resets off", "dup"),
    Control("browser deaf", "client ids off", "dup"),
)
"""One for each kind of fault; those of one switch stand together and share their processes."""


async def show(folder: Path, seed: str, controls: Sequence[Control] = CONTROLS) -> dict[Control, Counts]:
    """What each control counts, on SQLite. The fault `CALM` stands for none: what is lost then, no fault has lost."""
    found: dict[Control, Counts] = {}
    for spoiled, group in groupby(controls, key=lambda control: control.spoiled):
        async with stage(folder / spoiled.replace(" ", "-"), spoiled=spoiled) as on_stage:
            calm = Control(CALM, spoiled, "losses")
            found[calm] = await play(on_stage, _plan(calm, f"{seed} calm"))
            logger.info("%s, %s: %s", calm.fault, spoiled, found[calm].line)
            for control in group:
                for attempt in range(TRIES):
                    found[control] = await play(on_stage, _plan(control, f"{seed} {attempt}"))
                    logger.info("%s, %s: %s", control.fault, spoiled, found[control].line)
                    if getattr(found[control], control.shows):
                        break
    return found


def wrong(shown: dict[Control, Counts]) -> list[str]:
    """The controls that do not show what they should."""
    return [
        f"“{control.fault}” with “{control.spoiled}” counts {found.line} ({found.notes[:3]})"
        for control, found in shown.items()
        if bool(getattr(found, control.shows)) is (control.fault == CALM)
    ]


def _plan(control: Control, seed: str) -> Plan:
    in_tabs = [control.fault] if control.fault in BROWSER else []
    more = 2 if control.fault in SUBTLE else 1
    times = 1 if control.fault in LONG else more * TIMES
    return Plan(
        f"{seed} {control.spoiled} {control.fault}",
        [control.fault] * times if control.fault in OTHERS else [],
        at_worst=True,
        people=5,
        in_tabs=in_tabs,
        in_tabs_pause_s=0.4,
        pause_s=1.0,
        last_s=0.5 if control.fault in OTHERS else more * 4.0,
        patience=UNTERMINATED_S if control.shows in ("unterminated", "losses") else IN_VAIN_S,
    )
