"""What the servers we run under need to be told: frame limits, no tokens in logs, a place to start and stop."""

from __future__ import annotations

import logging
import re
from typing import Any

from django.conf import settings

from miva import startup
from miva.hub import hub
from miva.middleware import Receive, Scope, Send

DAPHNE_DEFAULT = 1024 * 1024
_TOKEN = re.compile(r"""(token=|/ws/[^\s?"']*\?)[^\s"']+""")
"""A token in an address; of a socket's address the whole query, where its name may be written in other ways."""


def allow_large_frames_in_daphne() -> None:
    """Raises daphne's frame limit of 1 MiB to ours where its own default is in force (contract section 1)."""
    from daphne.cli import CommandLineInterface
    from daphne.server import Server

    class LargeFrameServer(Server):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            for name in ("websocket_max_message_size", "websocket_max_frame_size"):
                if options.get(name, DAPHNE_DEFAULT) == DAPHNE_DEFAULT:
                    options[name] = settings.MIVA_MAX_FRAME
            super().__init__(*args, **options)

    CommandLineInterface.server_class = LargeFrameServer


class _ForLogs(logging.Filter):
    """Writes `token=…` in place of a token in an address, whoever logs it, and no trace of what a client did wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
            record.exc_info = None  # uvicorn closes such a socket with 1007, as it should, and logs a trace
        if isinstance(record.args, tuple):
            record.args = tuple(_hidden(value) for value in record.args)
        record.msg = _hidden(record.msg)
        return True


def _hidden(value: Any) -> Any:
    return _TOKEN.sub(r"\1…", value) if isinstance(value, str) and ("token=" in value or "/ws/" in value) else value


def keep_tokens_out_of_logs() -> None:
    """Puts the filter on every logger that writes requests' addresses."""
    for name in ("uvicorn.access", "uvicorn.error", "daphne.access", "django.channels.server", "django.request"):
        logging.getLogger(name).addFilter(_ForLogs())


async def lifespan(_: Scope, receive: Receive, send: Send) -> None:
    """The ASGI lifespan: stops our parts with the server (those without lifespan stop them at exit)."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            startup.start_parts()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await hub.close()
            startup.stop_parts()
            await send({"type": "lifespan.shutdown.complete"})
            return
