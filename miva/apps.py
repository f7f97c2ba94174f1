"""The Django application: its name, and the system checks it registers."""

from __future__ import annotations

from django.apps import AppConfig


class MivaConfig(AppConfig):
    name = "miva"
    verbose_name = "Miva"

    def ready(self) -> None:
        from miva import account_signals, checks, sql_log  # noqa: F401 (importing registers them)
