"""Whether this process is about to end: who waits for long, or begins long work, asks or is told."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[], None]

_has_begun = False
_listeners: set[Listener] = set()


def has_begun() -> bool:
    """True from the moment at which the process was told to end."""
    return _has_begun


def begin() -> None:
    """Tells everybody, once; to be called on the event loop."""
    global _has_begun
    _has_begun = True
    while _listeners:
        _listeners.pop()()


def subscribe(listener: Listener) -> Callable[[], None]:
    """Calls `listener` once on the event loop when the process is told to end, at once where it was; returns what
    takes that back."""
    if _has_begun:
        listener()
    else:
        _listeners.add(listener)
    return lambda: _listeners.discard(listener)
