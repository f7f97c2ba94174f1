"""What the doctor sees from inside: this machine's settings and database."""

from __future__ import annotations

from django.core.checks import run_checks
from django.db import connection
from django.db.utils import DatabaseError

from miva import database_away, migrated
from miva.doctor_words import Finding, fine, wrong


def look_inside() -> list[Finding]:
    """The findings of the system checks, and whether the database is up to date."""
    messages = [message for message in run_checks() if not message.is_silenced()]
    findings = [wrong(f"{message.msg} ({message.id})", message.hint or "") for message in messages]
    return [*(findings or [fine("The settings can be used.")]), _database()]


def _database() -> Finding:
    try:
        missing = migrated.missing_steps()
    except DatabaseError as why:
        words = database_away.in_words(why)
        return wrong(f"The database cannot be reached: {words}", "Look at DATABASE_URL, and whether its server runs.")
    finally:
        connection.close()
    if missing:
        return wrong(migrated.in_words(missing), migrated.ADVICE)
    return fine("The database is up to date.")
