"""System checks: what is wrong with the settings, in words, with what to change."""

from __future__ import annotations

import os
import sqlite3
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import WARNING, CheckMessage, Error, Warning, register, run_checks


@register()
def settings_can_be_used(**_: Any) -> list[CheckMessage]:
    """Every value that epsilon/settings.py could not use, as an error with its hint."""
    return [Error(message, hint=hint, id=check) for check, message, hint in settings.MIVA_PROBLEMS]


@register()
def names_are_known(**_: Any) -> list[CheckMessage]:
    """A warning for a MIVA_ variable that nothing reads: most likely a slip of the pen."""
    return [
        Warning(f"{name} is set, but there is no such setting.", hint="See .env.example for all names.", id="miva.W001")
        for name in settings.MIVA_UNKNOWN_NAMES
    ]


@register()
def data_folder_can_be_written(**_: Any) -> list[CheckMessage]:
    """The data folder holds the database, the documents and the sockets, so it must be writable."""
    if os.access(settings.MIVA_DATA_DIR, os.W_OK | os.X_OK):
        return []
    hint = "Give this user the right to write there, or set MIVA_DATA_DIR to another folder."
    return [Error("The data folder cannot be written.", hint=hint, id="miva.E013")]


@register()
def sqlite_has_full_text_search(**_: Any) -> list[CheckMessage]:
    """The embedded engine's keyword index needs FTS5, which almost every SQLite is built with."""
    if settings.MIVA_ENGINE_URLS:
        return []
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        hint = "Use a Python whose SQLite has FTS5, or set MIVA_ENGINE_URL to an engine of your own."
        return [Error("This Python's SQLite has no full-text search (FTS5).", hint=hint, id="miva.E014")]
    finally:
        connection.close()
    return []


@register()
def vector_store_can_be_used(**_: Any) -> list[CheckMessage]:
    """What can be told of the embedded engine's vector store without opening it; the engine's log tells the rest."""
    name = settings.MIVA_VECTOR_STORE
    parts = name.split(".")
    wrong = hint = ""
    if name == "pgvector":
        if settings.DATABASES["default"]["ENGINE"] != "miva.postgres":
            wrong, hint = "needs a PostgreSQL database", "Set DATABASE_URL=postgresql://…, or MIVA_VECTOR_STORE=auto."
    elif name == "faiss":
        if find_spec("faiss") is None:
            wrong, hint = "needs a package that is not installed", "Run: pip install faiss-cpu"
    elif name not in {"auto", "files"} and not (
        len(parts) > 1 and all(map(str.isidentifier, parts)) and find_spec(parts[0])
    ):
        wrong = "is no vector store that there is"
        hint = "Write one of auto, files, pgvector, faiss, or package.module.Class of an installed package."
    return [Error(f"MIVA_VECTOR_STORE={name} {wrong}.", hint=hint, id="miva.E017")] if wrong else []


@register()
def debug_stays_at_home(**_: Any) -> list[CheckMessage]:
    """DEBUG shows settings and code to whoever makes an error happen."""
    if settings.DEBUG and not settings.MIVA_IS_LOCAL:
        hint = "Set DEBUG=off, and SECRET_KEY, on a server that others reach."
        return [Warning("DEBUG is on while ALLOWED_HOSTS lets other machines in.", hint=hint, id="miva.W002")]
    return []


def problems_in_words() -> tuple[str, list[str]]:
    """For a person at a terminal: all errors of the checks as one text, "" where there are none; and the warnings."""
    messages = [message for message in run_checks() if not message.is_silenced()]
    errors = [message for message in messages if message.is_serious()]
    warnings = [message for message in messages if message.level >= WARNING and not message.is_serious()]
    return (
        "\n".join(f"- {error.msg}\n  {error.hint or ''} ({error.id})" for error in errors),
        [f"{warning.msg} {warning.hint or ''} ({warning.id})" for warning in warnings],
    )
