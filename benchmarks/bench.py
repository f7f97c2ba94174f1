"""What every benchmark is given: how much to do, where to write, which core is whose."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
CORES = sorted(os.sched_getaffinity(0))
"""Read once: a thread that goes to one core later must not change whose core is whose."""


@dataclass(frozen=True, slots=True)
class Bench:
    """`quick` measures less (for every day); `folder` is a temporary one; `say` tells the person who waits.

    `rivals` are the names of the relays to compare (`benchmarks/relays.py`); empty means all. With `one_core` the load
    is put on the server's core too.
    """

    quick: bool
    folder: Path
    say: Callable[[str], None]
    rivals: tuple[str, ...] = ()
    one_core: bool = False

    @property
    def server_core(self) -> int:
        """The core of what is measured: nothing else of the run is put there."""
        return CORES[0]

    @property
    def load_core(self) -> int:
        """The core of what measures (the same one where the machine has no other)."""
        return self.server_core if self.one_core else CORES[-1]


Measurement = Callable[[Bench], list[Figure]]
"""A benchmark: does everything in its own processes, leaves none behind, raises where something went wrong."""
