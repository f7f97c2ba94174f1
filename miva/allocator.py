"""How this process gets its memory from the system."""

from __future__ import annotations

import contextlib
import ctypes

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
