"""Threads that give way to others of their process."""

from __future__ import annotations

import contextlib
import os
import sys
import threading


def give_way(nice: int) -> None:
    """Lowers the calling thread's priority to `nice` (1 to 19); one that is lower already stays as it is.

    Only Linux has one for each thread (setpriority(2), notes); elsewhere the call would mean others, and is left out.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
