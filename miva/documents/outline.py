"""A document's bookmarks, as they travel from an extraction process to the store and to the engine."""

from __future__ import annotations

from typing import Any, NamedTuple

DEEPEST = 3
"""Levels of bookmarks that are read: parts, chapters, sections."""
MOST = 300
LONGEST_TITLE = 200


class Bookmark(NamedTuple):
    """Where a part begins: its depth from 0, its title on one line, and its page, counted from 1."""

    level: int
    title: str
    page: int


def bookmarks(said: Any) -> tuple[Bookmark, ...]:
    """What a process said, or a file kept, as bookmarks; whatever is none is left out, for it may say anything."""
    if not isinstance(said, list):
        return ()
    return tuple(Bookmark(*one) for one in said[:MOST] if isinstance(one, list) and _is_bookmark(*one[:4]))


def _is_bookmark(level: Any = None, title: Any = None, page: Any = None, *more: Any) -> bool:
    is_right = isinstance(title, str) and 0 < len(title) <= LONGEST_TITLE and title.isprintable() and not more
    return is_right and type(level) is int and 0 <= level < DEEPEST and type(page) is int and page >= 1
