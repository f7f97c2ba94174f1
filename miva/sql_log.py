"""Under DEBUG, Django keeps the text of every query, with its values, until a request ends: 9,000 a connection.

A socket's questions and answers are no requests, so they would stay in memory for good (measured: 37 MB after 100 MB of
answers), and SQLite is asked for each text by a second query. Nothing here shows them, so none are kept.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver


@receiver(connection_created)
def keep_no_sql(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Gives a new connection the cursor that it has without DEBUG."""
    if settings.DEBUG:
        connection.make_debug_cursor = connection.make_cursor  # type: ignore[method-assign, assignment]
