"""`manage.py serve`, which is what `make run` starts: uvicorn with the settings that fit, one line when it is ready."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

_WORDS = {
    errno.EADDRINUSE: "another program listens there. Stop it, or choose another port: PORT=8001 make run",
    errno.EACCES: "ports below 1024 need more rights. Choose another: PORT=8000 make run",
    errno.EADDRNOTAVAIL: "this machine has no such address. Set HOST=127.0.0.1, or HOST=0.0.0.0 for all it has",
}
_ANYWHERE = {"0.0.0.0": "localhost", "::": "localhost", "127.0.0.1": "localhost"}  # noqa: S104 (only shown)


class Server(uvicorn.Server):
    """Says where it can be reached, once it can."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = _ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
            print(f"Miva is ready: http://{shown}:{port}/", flush=True)  # noqa: T201


class Command(BaseCommand):
    help = "Serves the chat with uvicorn on HOST and PORT."
    requires_system_checks: list[str] = []  # epsilon/asgi.py runs them, and says what is wrong in words

    def handle(self, *_: Any, **__: Any) -> None:
        listener = _listen(settings.HOST, settings.PORT)
        config = uvicorn.Config(
            "epsilon.asgi:application",
            loop="uvloop",
            ws="miva.uvicorn_protocol:JoiningProtocol",
            ws_max_size=settings.MIVA_MAX_FRAME,
            ws_per_message_deflate=False,
            log_level="warning",
        )
        # Once it has stopped, uvicorn raises the signal that stopped it again: then we are done, which is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _done)
        server = Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise SystemExit(1)


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound before anything else is started, so that a port that is taken is told in words."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as why:
        raise CommandError(f"HOST is “{host}”, which is no address of this machine. Set HOST=127.0.0.1") from why
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as why:
        listener.close()
        words = _WORDS.get(why.errno or 0, f"{why.strerror}.")
        raise CommandError(f"Cannot listen on {host}, port {port}: {words}") from why
    return listener


def _done(_: int, __: FrameType | None) -> None:
    sys.exit(0)
