"""What the doctor sees from inside: this machine's settings and database."""

from __future__ import annotations

from django.core.checks import run_checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError

from miva.doctor_words import Finding, fine, wrong


def look_inside() -> list[Finding]:
    """The findings of the system checks, and whether the database is up to date."""
    messages = [message for message in run_checks() if not message.is_silenced()]
    findings = [wrong(f"{message.msg} ({message.id})", message.hint or "") for message in messages]
    return [*(findings or [fine("The settings can be used.")]), _database()]


def _database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as why:
        words = str(why).strip().partition("\n")[0]
        return wrong(f"The database cannot be reached: {words}", "Look at DATABASE_URL, and whether its server runs.")
    finally:
        connection.close()
    if missing:
        return wrong(
            f"The database is not migrated: {len(missing)} steps are missing.", "Run `python manage.py migrate`."
        )
    return fine("The database is up to date.")
