"""`manage.py runserver`: daphne's, with the database brought up to date instead of a warning that it is not."""

from __future__ import annotations

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from daphne.management.commands.runserver import get_default_application

from miva import startup
from miva.daphne_server import MivaServer


class Command(DaphneCommand):  # type: ignore[misc]
    """Starts the development server; with the reloader, only the child that serves imports epsilon/asgi.py."""

    server_cls = MivaServer

    def check_migrations(self) -> None:
        """Migrates where that is needed."""
        startup.migrate_if_needed()

    def get_application(self, *_: Any) -> Any:
        """The application alone: it serves the static files itself, on every server."""
        return get_default_application()
