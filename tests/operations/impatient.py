"""The product with less patience for a database that hangs, so that a test of it is quick."""

from __future__ import annotations

from epsilon.asgi import application
from miva import silence

__all__ = ["application"]

silence.PATIENCE_S = 2.0
