"""A seeded tenth of the fault suite: `make faults` runs it whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.controls import Control, show, wrong
from tests.faults.record import Counts
from tests.faults.run import Plan, run
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.timeout(900)

SEED = "sample"
ON_SQLITE = ("owner killed", "redis killed", "engine garbage", "owner stopped", "redis flushed")
ON_POSTGRESQL = ("worker ended", "redis full", "engine cut", "all at once")
CONTROLS = (Control("owner stopped", "fencing off", "dup"),)


async def test_nothing_is_lost_under_a_tenth_of_the_faults(tmp_path: Path) -> None:
    counts = Counts()
    counts.add(await run(tmp_path / "sqlite", Plan(f"{SEED} sqlite", ON_SQLITE, people=4, in_tabs_pause_s=0.5)))
    with PostgresServer() as postgres:
        counts.add(
            await run(
                tmp_path / "postgresql", Plan(f"{SEED} pg", ON_POSTGRESQL, people=4, in_tabs_pause_s=0.5), postgres
            )
        )
    print(counts.line)
    assert not counts.losses, (counts.line, counts.notes)
    assert not counts.surprises
    assert counts.faults >= 30
    assert counts.turns >= 50
    assert counts.frames >= 5_000


async def test_the_suite_sees_what_is_lost_where_a_protection_is_off(tmp_path: Path) -> None:
    assert not wrong(await show(tmp_path, SEED, CONTROLS))
