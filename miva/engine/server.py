"""Where the engine listens: a TCP port or a Unix socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.typing import Subprotocol

from miva.engine.connection import Connection
from miva.engine.frames import SUBPROTOCOL
from miva.engine.service import Service
from miva.engine.session import Session

# An envelope may hold 5 million characters; as JSON that can be six times as many bytes.
MAX_FRAME = 32 * 1024 * 1024


class CannotListen(Exception):
    """The address cannot be used; the text says why."""


def _select(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


_SETTINGS: dict[str, Any] = {
    "create_connection": Connection,
    "select_subprotocol": _select,
    "compression": None,
    "max_size": MAX_FRAME,
    "close_timeout": 0.5,
    "ping_interval": 30,
    "ping_timeout": 120,  # a busy peer answers late; only a dead one not at all
}


@dataclass(frozen=True)
class Address:
    """`path` is a Unix socket; without it `host` and `port` count."""

    host: str
    port: int
    path: Path | None


async def listen(address: Address, service: Service, *, until_stdin_closes: bool) -> None:
    """Serve until SIGTERM, SIGINT or (where wanted) the end of standard input. Raises `CannotListen`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    server = await _open(address, service)
    print(f"Engine listening on {_where(address, server)}", flush=True)  # noqa: T201 - the supervisor reads this line
    await stop.wait()
    server.close(close_connections=True)
    try:
        await asyncio.wait_for(server.wait_closed(), 0.7)
    except TimeoutError:  # a peer that does not answer the closing handshake is left behind
        return


async def _open(address: Address, service: Service) -> Server:
    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        await Session(connection, service).run()

    try:
        if address.path is not None:
            return await unix_serve(handle, sock=_unix_socket(address.path), **_SETTINGS)
        return await serve(handle, address.host, address.port, **_SETTINGS)
    except OSError as error:
        raise CannotListen(f"Cannot listen on {address.path or f'{address.host}:{address.port}'}: {error}") from None


def _unix_socket(path: Path) -> socket.socket:
    """A socket of this user's only, bound beside `path` and moved onto it, so that a newer engine replaces an older."""
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise CannotListen(f"{path} exists and is not a socket; choose another path.")
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(draft))
        listener.listen(128)
    finally:
        os.umask(mask)
    draft.rename(path)
    return listener


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:  # there never was a standard input
        pass
    loop.call_soon_threadsafe(stop.set)


def _where(address: Address, server: Server) -> str:
    if address.path is not None:
        return str(address.path)
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}/"
