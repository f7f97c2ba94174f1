"""`manage.py createsuperuser`: Django's, and works as the very first command."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import Command as DjangoCommand
from django.core.management.base import CommandError
from django.db import IntegrityError

from miva import startup


class Command(DjangoCommand):
    """Makes an account that may use the admin."""

    def check_migrations(self) -> None:
        """Migrates where that is needed, instead of warning."""
        startup.migrate_if_needed()

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Asks, and makes the account; raises CommandError where the name is taken in another spelling."""
        try:
            return super().handle(*args, **options)
        except IntegrityError as why:
            raise CommandError("There is an account with this e-mail or username already.") from why
