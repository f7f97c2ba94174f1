"""What servers need to be told: no tokens in logs, where to start and stop (`daphne_server` has what daphne needs)."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from miva import startup, stopping
from miva.middleware import Receive, Scope, Send
from miva.mistakes_log import as_warning

GRACE_S = 4
"""How long uvicorn waits for connections to close when it is told to end, where nothing else was said."""
_Handler = Callable[[int, FrameType | None], Any]
_TOKEN = re.compile(r"""(token=|/ws/[^\s?"']*\?|/accounts/(?:verify|reset)/(?!done/))[^\s"']+""")
"""A token in an address; of a socket's address the whole query, where its name may be written in other ways; of a link
that was sent by mail all that makes it work."""
_REFUSED = "ASGI callable returned without completing handshake."
"""What uvicorn 0.54 takes a handshake for that was answered with a status, which it has logged as that just before."""
_HINTS = ("token=", "/ws/", "/accounts/")


class _ForLogs(logging.Filter):
    """Writes `token=…` in place of a token in an address, whoever logs it, and no error for what a client did wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == _REFUSED:
            return False
        if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
            as_warning(record)  # uvicorn closes such a socket with 1007, as it should, and logs an error with its trace
        if isinstance(record.args, tuple):
            record.args = tuple(hidden(value) for value in record.args)
        record.msg = hidden(record.msg)
        return True


def hidden(value: Any) -> Any:
    """A value for a log; where it is a text, without the tokens in it."""
    if isinstance(value, str) and any(hint in value for hint in _HINTS):
        return _TOKEN.sub(r"\1…", value)
    return value


def keep_tokens_out_of_logs() -> None:
    """Puts the filter on every logger that writes requests' addresses."""
    for name in ("uvicorn.access", "uvicorn.error", "daphne.access", "django.channels.server", "django.request"):
        logging.getLogger(name).addFilter(_ForLogs())


async def lifespan(_: Scope, receive: Receive, send: Send) -> None:
    """The ASGI lifespan: what runs on the server's loop begins and ends with the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _hear_of_the_end_early()
            await startup.begin_serving()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await startup.end_serving()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _hear_of_the_end_early() -> None:
    """Begins to hand over when the signal comes: uvicorn tells of its end only when every connection has closed.

    It would wait for those without a bound; so it gets one, unless its operator chose another.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        server = getattr(before, "__self__", None)
        if not (callable(before) and isinstance(server, uvicorn.Server)):
            continue
        if server.config.timeout_graceful_shutdown is None:
            server.config.timeout_graceful_shutdown = GRACE_S
        signal.signal(number, partial(_end, loop, before))


def _end(
    loop: asyncio.AbstractEventLoop,
    before: Callable[[int, FrameType | None], Any],
    number: int,
    frame: FrameType | None,
) -> None:
    loop.call_soon_threadsafe(stopping.begin)
    before(number, frame)
