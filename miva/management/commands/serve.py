"""`manage.py serve`, which is what `make run` starts: uvicorn with the settings that fit, one line when it is ready."""

from __future__ import annotations

from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand


class Server(uvicorn.Server):
    """Says where it can be reached, once it can."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                host, port = server.sockets[0].getsockname()[:2]
                shown = "localhost" if host in {"127.0.0.1", "0.0.0.0", "::1", "::"} else host  # noqa: S104
                print(f"Miva is ready: http://{shown}:{port}/", flush=True)  # noqa: T201


class Command(BaseCommand):
    help = "Serves the chat with uvicorn on HOST and PORT."
    requires_system_checks: list[str] = []  # epsilon/asgi.py runs them, and says what is wrong in words

    def handle(self, *_: Any, **__: Any) -> None:
        config = uvicorn.Config(
            "epsilon.asgi:application",
            host=settings.HOST,
            port=settings.PORT,
            loop="uvloop",
            ws="websockets-sansio",
            ws_max_size=settings.MIVA_MAX_FRAME,
            ws_per_message_deflate=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        server = Server(config)
        server.run()
        if not server.started:
            raise SystemExit(1)
