"""`manage.py engine`: the embedded engine alone, or a look at how the relay would read somebody else's."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from miva.engine_check import check
from miva.engine_config import open_config


class Command(BaseCommand):
    help = "Runs the embedded engine alone, or with --check tells how the relay reads the frames of an engine."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8001, help="where to listen (default: 8001)")
        parser.add_argument("--check", metavar="URL", help="ask the engine at this ws:// or wss:// address instead")

    def handle(self, *_: Any, host: str, port: int, check: str | None, **__: Any) -> None:
        if check is not None:
            self._check(check)
            return
        data = settings.MIVA_DATA_DIR / "engine-alone"
        config = open_config()
        os.set_inheritable(config, True)
        command = [sys.executable, "-m", "miva.engine", "--host", host, "--port", str(port), "--data", str(data)]
        command += ["--config", str(config)]
        sys.stdout.flush()
        os.chdir(settings.BASE_DIR)  # where `-m` finds it, wherever manage.py was called from
        os.execv(command[0], command)  # noqa: S606 (the engine takes this process's place: one to start, one to stop)

    def _check(self, url: str) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise CommandError("Write an address that starts with ws:// or wss://.")
        fine = True
        for finding in asyncio.run(check(url)):
            fine = fine and finding.is_fine
            self.stdout.write(f"{'ok  ' if finding.is_fine else 'FAIL'}  {finding.words}")
        if not fine:
            raise CommandError("The relay cannot work with this engine as it is.")
