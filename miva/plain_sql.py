"""Plain SQL for what happens with every question. Blocking, on this thread's connection.

Django's ORM takes some ten times as long to build such a statement as the database to carry it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection


def rows(query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a query; ids in them are as `uuid_of` takes them."""
    with connection.cursor() as cursor:
        cursor.execute(query, _adapted(parameters))
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def changed(statement: str, parameters: Sequence[Any]) -> int:
    """Carries out an UPDATE; returns how many rows it found."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(parameters))
        return int(cursor.rowcount)


def uuid_of(value: UUID | str) -> UUID:
    """An id as it came from the database, which may have no type of its own for it."""
    return value if isinstance(value, UUID) else UUID(value)


def from_now(seconds: float) -> tuple[str, list[str | float]]:
    """So many seconds from now by the database's clock: an expression and its parameters."""
    if connection.vendor == "postgresql":
        return "(STATEMENT_TIMESTAMP() + MAKE_INTERVAL(secs => %s))", [seconds]
    return "STRFTIME(%s, 'now', %s)", ["%Y-%m-%d %H:%M:%f", f"{seconds:+f} seconds"]


def _adapted(parameters: Sequence[Any]) -> list[Any]:
    if connection.features.has_native_uuid_field:
        return list(parameters)
    return [value.hex if isinstance(value, UUID) else value for value in parameters]
