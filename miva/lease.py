"""Leases: for how long what a process works at stays its own. The clock is the database's, one for all machines."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

WORKER = secrets.token_hex(16)
"""This process's name in the leases that it holds; one that is started again has another."""
RENEWALS = 5
"""How often a lease is renewed within its time."""


def ends_at(seconds: float | None = None) -> Combinable:
    """When a lease that is taken or renewed now will end, or the moment in so many seconds, for `update`."""
    length = timedelta(seconds=settings.MIVA_LEASE_S if seconds is None else seconds)
    return ExpressionWrapper(Now() + length, output_field=DateTimeField())
