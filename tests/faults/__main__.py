"""`make faults`: the suite on SQLite and PostgreSQL in turn, and its controls. Prints one line; fails on any loss."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.controls import show, wrong
from tests.faults.kinds import OTHERS
from tests.faults.record import Counts
from tests.faults.run import Plan, run
from tests.postgres_server import PostgresServer

logger = logging.getLogger("faults")

LEAST = {"faults": 300, "turns": 500, "frames": 50_000}
"""Of a whole run; with fewer it would say too little."""
DATABASES = ("sqlite", "postgresql")
ROUNDS = 3
OFTEN = ("owner killed", "owner stopped", "worker ended", "engine killed", "engine garbage", "engine garbage")
"""Kinds that come once more in each round."""


def plan(seed: str, rounds: int) -> Plan:
    """Every kind of fault in each round, in an order by chance."""
    rng = random.Random(f"{seed} plan")
    faults: list[str] = []
    for _ in range(rounds):
        kinds = [*OTHERS, *OFTEN]
        rng.shuffle(kinds)
        faults += kinds
    return Plan(seed, faults)


async def whole(folder: Path, seed: str, rounds: int, databases: list[str]) -> Counts:
    """All that loses nothing: what the runs on these databases count together."""
    counts = Counts()
    for database in databases:
        logger.info("%s, %d rounds", database, rounds)
        own = plan(f"{seed} {database}", rounds)
        if database == "postgresql":
            with PostgresServer() as postgres:
                found = await run(folder / database, own, postgres)
        else:
            found = await run(folder / database, own)
        logger.info("%s: %s; ends: %s; faults: %s", database, found.line, dict(found.ends), dict(found.kinds))
        counts.add(found)
    return counts


def main() -> int:
    """The exit code: 0 where nothing was lost, every control showed losses and enough happened."""
    arguments = _arguments()
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended then too
    begun = time.monotonic()
    logger.info("seed %s (again with: python -m tests.faults --seed %s)", arguments.seed, arguments.seed)
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="miva-faults-") as folder:
        if not arguments.without_controls:
            problems += wrong(asyncio.run(show(Path(folder), arguments.seed)))
        databases = arguments.only or list(DATABASES)
        counts = asyncio.run(whole(Path(folder), arguments.seed, arguments.rounds, databases))
        problems += [*(counts.notes if counts.losses else ()), *counts.surprises]
        if arguments.rounds >= ROUNDS and not arguments.only:
            counted = {name: getattr(counts, name) for name in LEAST}
            problems += [f"only {counted[name]} {name}" for name, least in LEAST.items() if counted[name] < least]
        if problems or counts.losses:
            logger.error("What the workers wrote is kept in %s", _keep_logs(Path(folder)))
    for problem in problems:
        logger.error("%s", problem)
    logger.info("%.0f s", time.monotonic() - begun)
    print(counts.line)
    return int(bool(problems or counts.losses))


def _keep_logs(folder: Path) -> Path:
    """Copies the servers' logs out of a folder that will be deleted; returns where they are."""
    kept = Path(tempfile.mkdtemp(prefix="miva-faults-logs-"))
    for log in folder.glob("*/server.log"):
        shutil.copy(log, kept / f"{log.parent.name}.log")
    return kept


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", default=str(random.randrange(10**6)), help="plays the run of this seed again")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each kind of fault ({ROUNDS})")
    parser.add_argument("--only", action="append", choices=DATABASES, help="on this database only")
    parser.add_argument("--without-controls", action="store_true", help="leaves out the runs that must show losses")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
