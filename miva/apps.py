"""The Django application: its name, the system checks it registers, and what it asks of each database connection."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

STALLED_S = 5
"""After which PostgreSQL ends a transaction in whose middle a process was stopped, with the locks that it holds."""


class MivaConfig(AppConfig):
    name = "miva"
    verbose_name = "Miva"

    def ready(self) -> None:
        from miva import account_signals, checks, sql_log  # noqa: F401 (importing registers them)

        connection_created.connect(_bound_transactions, dispatch_uid="miva.bound_transactions")


def _bound_transactions(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{STALLED_S}s'")
