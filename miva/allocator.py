"""How this process gets its memory, and what the garbage collector looks at."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""
_ARENAS = 2


def use_few_arenas() -> None:
    """Lets threads share what is freed; to be called before they start. Does nothing but where there is glibc.

    It gives each thread an arena of its own, up to eight for a core, and what is freed in one serves no other. Our
    threads take turns anyway. (mallopt(3))
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def begin_start() -> None:
    """Has no garbage looked for until `end_of_start`: hardly any of what modules make is, and a tenth of a start went
    into looking."""
    gc.disable()


def end_of_start() -> None:
    """Takes all that was made so far, modules mostly, out of the garbage collector's sight; to be called once.

    It stays for as long as the process lives, and each look through it stopped the event loop for 50 to 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
