"""`manage.py doctor`: asks a running server as its visitors do, and prints what works and what to change."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from miva.doctor import Doctor
from miva.doctor_local import look_inside
from miva.doctor_words import Finding


class Command(BaseCommand):
    help = "Opens the real socket of a running server, asks with a 2 MB PDF, and prints what failed and what to change."
    requires_system_checks: list[str] = []  # their findings are among those that are printed

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", help="the chat's address, http:// or https:// (default: HOST and PORT)")
        parser.add_argument("--token", help="asks as the owner of this token (default: as a visitor without one)")

    def handle(self, *_: Any, url: str | None, token: str | None, **__: Any) -> None:
        if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise CommandError("--url must be an address like https://chat.example.org")
        self._failures = 0
        if url is None:
            for finding in look_inside():
                self._tell(finding)
        asyncio.run(self._examine(Doctor(url or _own_address(), token)))
        if self._failures:
            raise CommandError(
                f"{self._failures} of these need a change." if self._failures > 1 else "This needs a change."
            )
        self.stdout.write("All is well.")

    async def _examine(self, doctor: Doctor) -> None:
        async for finding in doctor.examine():
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        self._failures += not finding.is_fine
        self.stdout.write(f"{'ok  ' if finding.is_fine else 'FAIL'}  {finding.words}")
        for line in finding.advice.splitlines():
            self.stdout.write(f"      {line}")
        self.stdout.flush()


def _own_address() -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104 (to go to, not to bind)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.PORT}/"
