"""Another server process, as far as the log goes: `python -m tests.log.appender` appends and tells of each commit.

Arguments: conversation, turn, worker, attempt, name, and how many events; or `stall` instead of how many, which stays
in the middle of a transaction until a line comes in.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from uuid import UUID

import django

from tests.product import ROOT


class Appender:
    """The process, as the test sees it."""

    def __init__(self, address: str, conversation_id: UUID, turn_id: UUID, worker: str, attempt: int, *rest: str):
        arguments = [str(conversation_id), str(turn_id), worker, str(attempt), *rest]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.log.appender", *arguments],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def says(self) -> str:
        """Its next line; fails where it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the process is gone"
        return line

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def all_it_says(self) -> list[str]:
        """What it said up to its end."""
        assert self._process.stdout is not None
        return self._process.stdout.read().split()

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def main(conversation: str, turn: str, worker: str, attempt: str, name: str, what: str) -> None:
    django.setup()
    from miva.eventlog import Entry, Fence, FencedOff, fenced, log
    from miva.protocol.events import Delta

    conversation_id, fence = UUID(conversation), Fence(UUID(turn), worker, int(attempt))

    def stall(head: int) -> Sequence[Entry]:
        print("stalls", flush=True)
        sys.stdin.readline()
        return [Entry(fence.turn_id, fence.attempt, Delta(name))]

    async def append() -> None:
        if what == "stall":
            await log.append(conversation_id, stall)
            return
        for count in range(int(what)):
            try:
                [stored] = await log.append(conversation_id, fenced(fence, [Delta(f"{name}{count}")], 10.0))
            except FencedOff:
                print("fenced", flush=True)
                return
            print(stored.seq, flush=True)

    print("ready", flush=True)
    asyncio.run(append())
    log.close()
    print("over", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
