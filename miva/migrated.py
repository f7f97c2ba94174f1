"""Whether the database has the tables and columns that this version of the code works with."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

ADVICE = "Run `python manage.py migrate`."


def missing_steps() -> int:
    """How many migrations the database is behind; 0 also where it is ahead. Blocks; raises DatabaseError."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def in_words(steps: int) -> str:
    """A sentence on so many missing steps."""
    return f"The database is not migrated: {steps} step{' is' if steps == 1 else 's are'} missing."
