"""Plain SQL for what happens with every question. Blocking, on this thread's connection.

Django's ORM takes some ten times as long to build such a statement as the database to carry it out; and PostgreSQL
takes longer to plan one than to carry it out, so it is asked to keep the plans of those that come again.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from django.db import OperationalError, connection
from django.db.models import Model

logger = logging.getLogger("miva.plain_sql")

M = TypeVar("M", bound=Model)
Expression: TypeAlias = tuple[str, list[str | float]]
"""Some SQL, and its parameters."""

PREPARED_AFTER = 5
"""Uses of a statement on one connection until PostgreSQL is asked to keep its plan."""
_PLAN_IS_LOST = frozenset({"26000", "42P05", "0A000"})
"""What PostgreSQL says (SQLSTATE) of a kept statement that it does not have, has already, or whose tables changed."""

_of_thread = threading.local()
_may_prepare = True


def rows(query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a query; ids in them are as `uuid_of` takes them."""
    found: list[tuple[Any, ...]] = _carried_out(query, parameters).fetchall()
    return found


def changed(statement: str, parameters: Sequence[Any]) -> int:
    """Carries out a statement that changes rows; returns how many."""
    return int(_carried_out(statement, parameters).rowcount)


def change_each(statement: str, parameters: Iterable[Sequence[Any]]) -> None:
    """Carries out a statement once for each of these parameters."""
    at = _cursor()
    with connection.wrap_database_errors:
        at.executemany(statement, [_adapted(one) for one in parameters])


def insert(row: Model, **instead: Expression) -> None:
    """Stores a new row, and gives it the key that the database makes where it has none of its own.

    `instead` are columns that get an expression (as of `from_now`), not the row's own value. Raises IntegrityError.
    """
    columns: list[str] = []
    places: list[str] = []
    parameters: list[Any] = []
    for field in row._meta.concrete_fields:
        if field.primary_key and row.pk is None:
            continue
        columns.append(field.attname)
        if (expression := instead.get(field.attname)) is not None:
            places.append(expression[0])
            parameters += expression[1]
        else:
            places.append("%s")
            parameters.append(field.get_db_prep_save(field.pre_save(row, True), connection))
    statement = f"INSERT INTO {row._meta.db_table} ({', '.join(columns)}) VALUES ({', '.join(places)})"  # noqa: S608
    if row.pk is not None:
        changed(statement, parameters)
    elif connection.vendor == "postgresql":
        [(row.pk,)] = rows(f"{statement} RETURNING id", parameters)
    else:
        row.pk = _carried_out(statement, parameters).lastrowid
    row._state.adding = False


def found(model: type[M], condition: str, parameters: Sequence[Any]) -> list[M]:
    """The rows of a table for which a condition holds."""
    names, converters = _columns_of(model, connection.vendor)
    query = f"SELECT {', '.join(names)} FROM {model._meta.db_table} WHERE {condition}"  # noqa: S608
    return [model.from_db(connection.alias, names, _converted(row, converters)) for row in rows(query, parameters)]


def as_list(columns: Sequence[str], query: str) -> str:
    """The rows of a query, in its order, as one value of another's; `listed` reads it. One column makes it flat."""
    row = columns[0] if len(columns) == 1 else ""
    if connection.vendor == "postgresql":
        row = row or f"JSON_BUILD_ARRAY({', '.join(columns)})"
        return f"(SELECT JSON_AGG({row})::text FROM ({query}) AS listed)"  # noqa: S608
    row = row or f"JSON_ARRAY({', '.join(columns)})"
    return f"(SELECT JSON_GROUP_ARRAY({row}) FROM ({query}) AS listed)"  # noqa: S608


def listed(value: str | None) -> list[Any]:
    """What `as_list` made of rows; none of them is no list at all in some databases."""
    rows: list[Any] = json.loads(value) if value else []
    return rows


def uuid_of(value: UUID | str) -> UUID:
    """An id as it came from the database, which may have no type of its own for it."""
    return value if isinstance(value, UUID) else UUID(value)


def moment_of(value: datetime | str) -> datetime:
    """A moment as it came from the database, which may keep it as text, and knows of no time zone but UTC then."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def from_now(seconds: float) -> Expression:
    """So many seconds from now by the database's clock: an expression and its parameters."""
    if connection.vendor == "postgresql":
        return "(STATEMENT_TIMESTAMP() + MAKE_INTERVAL(secs => %s))", [seconds]
    return "STRFTIME(%s, 'now', %s)", ["%Y-%m-%d %H:%M:%f", f"{seconds:+f} seconds"]


@functools.cache
def _columns_of(model: type[Model], vendor: str) -> tuple[list[str], list[tuple[int, Any, list[Any]]]]:
    """A table's columns, and Django's converters for those whose values come in another form than fields have."""
    del vendor  # the converters are of this one
    fields = model._meta.concrete_fields
    converters = []
    for at, field in enumerate(fields):
        column = field.get_col(model._meta.db_table)
        own = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
        if own:
            converters.append((at, column, own))
    return [field.attname for field in fields], converters


def _converted(row: Sequence[Any], converters: list[tuple[int, Any, list[Any]]]) -> list[Any]:
    values = list(row)
    for at, column, own in converters:
        for convert in own:
            values[at] = convert(values[at], column, connection)
    return values


def _carried_out(statement: str, parameters: Sequence[Any]) -> Any:
    """The thread's cursor with the statement's result; raises OperationalError where it is to be tried again."""
    global _may_prepare
    at = _cursor()
    with connection.wrap_database_errors:
        try:
            at.execute(statement, _adapted(parameters))
        except Exception as why:  # of whichever database it is
            if getattr(why, "sqlstate", None) not in _PLAN_IS_LOST:
                raise
            # Behind a pooler that gives every transaction another connection, say.
            logger.warning(
                "PostgreSQL lost a prepared statement (%s); none is used from now on. Behind a pooler, add "
                "?DISABLE_SERVER_SIDE_CURSORS=true to DATABASE_URL, so that none is tried.",
                why,
            )
            _may_prepare, at.connection.prepare_threshold = False, None
            raise OperationalError("A prepared statement was lost.") from why
    return at


def _cursor() -> Any:
    """This thread's cursor, to be used until the next statement: making one costs as much as a small query."""
    connection.close_if_health_check_failed()  # as Django's own does for each
    kept = getattr(_of_thread, "cursor", None)
    if kept is None or connection.connection is None or kept.connection is not connection.connection:
        kept = _of_thread.cursor = _new_cursor()
    return kept


def _new_cursor() -> Any:
    django_cursor = connection.cursor().cursor
    if connection.vendor != "postgresql":
        return django_cursor
    # Django's writes the parameters into the statement, so that no two are the same.
    opened = django_cursor.connection
    may_prepare = _may_prepare and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
    opened.prepare_threshold = PREPARED_AFTER if may_prepare else None
    driver: Any = connection.Database  # type: ignore[attr-defined]  # psycopg
    return driver.Cursor(opened)


def _adapted(parameters: Sequence[Any]) -> list[Any]:
    if connection.features.has_native_uuid_field:
        return list(parameters)
    return [value.hex if isinstance(value, UUID) else value for value in parameters]
