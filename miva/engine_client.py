"""Connections to the engine: which address, how long to wait, and what each way of failing is called."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from picows import WSCloseCode

from miva import engine_process, engine_socket, engine_unix_socket
from miva.engine_socket import EngineSocket, Refused, SocketEnded
from miva.engine_unix_socket import UnixEngineSocket
from miva.protocol import engine
from miva.protocol.errors import EngineError, EngineFailed, EngineTimeout, EngineUnavailable

logger = logging.getLogger("miva.engine_client")

FAILURES_TO_OPEN = 3
FIRST_REST_S, LONGEST_REST_S = 2.0, 60.0
START_S = 20.0
"""The embedded engine may be on its way up (again): a question waits for it that long. So does a question that is asked
again, whatever its engine."""
RETURN_POLL_S = 0.5
"""Between two looks whether an engine that did not take a connection takes one now."""
HELLO_S = 5.0
PROBE_AGAIN_S = 5.0
CLOSE_S = 1.0
"""An engine that is told to stop has so long before its connection is cut (contract section 3.3, `cancel`)."""


class EngineClosed(EngineError):
    """The engine ended the connection; `clean` when it said so with a close frame."""

    def __init__(self, message: str, *, clean: bool = False) -> None:
        super().__init__(message)
        self.clean = clean


class Breaker:
    """Remembers failures of one address, so that a dead one is passed over while another lives.

    It never refuses: where every address rests, they are tried all the same, the longest rested first.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._rests_until = 0.0

    def rests_until(self, now: float) -> float:
        """The time at which this address may be tried first again; 0 where it may be now."""
        return self._rests_until if self._rests_until > now else 0.0

    def failed(self, now: float) -> None:
        self._failures += 1
        over = self._failures - FAILURES_TO_OPEN
        if over >= 0:
            self._rests_until = now + min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(over, 10))

    def worked(self) -> None:
        self._failures, self._rests_until = 0, 0.0


@dataclass(frozen=True)
class Address:
    """Where an engine listens: a ws:// or wss:// URL, or the embedded engine's Unix socket."""

    url: str
    socket: Path | None
    breaker: Breaker

    @property
    def label(self) -> str:
        """The address for logs and people, without a password that may stand in it."""
        parts = urlsplit(self.url)
        return "the embedded engine" if self.socket else f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"


class Link:
    """One connection to an engine. All failures of it come as EngineError or a kind of it."""

    def __init__(self, connection: EngineSocket | UnixEngineSocket, address: Address) -> None:
        self._connection = connection
        self.address = address

    @property
    def keeps_documents(self) -> bool:
        """Whether the engine selected miva.engine.v1."""
        return self._connection.subprotocol == engine.SUBPROTOCOL

    async def send(self, frame: str) -> None:
        """Sends a text frame; raises EngineClosed, or EngineTimeout where the engine does not read."""
        try:
            await self._connection.send(frame, within_s=settings.MIVA_ENGINE_TIMEOUT_S)
        except SocketEnded as why:
            raise _closed(why) from why
        except TimeoutError as why:
            raise EngineTimeout("The answering engine does not take the question.") from why

    async def receive(self) -> str:
        """The next text frame as it came; raises EngineClosed, or EngineError where the engine broke a rule."""
        try:
            return await self._connection.receive()
        except SocketEnded as why:
            raise _closed(why) from why

    async def receive_all(self) -> Sequence[str]:
        """The text frames that have come, at least one; raises as `receive` does."""
        try:
            return await self._connection.receive_all()
        except SocketEnded as why:
            raise _closed(why) from why

    async def receive_within(self, seconds: float) -> str:
        """`receive`, or EngineTimeout."""
        try:
            async with asyncio.timeout(seconds):
                return await self.receive()
        except TimeoutError as why:
            raise EngineTimeout() from why

    async def close(self, farewell: str | None = None) -> None:
        """Ends the connection, in CLOSE_S at most whatever the engine does; `farewell` is a last frame for it."""
        try:
            async with asyncio.timeout(CLOSE_S):
                if farewell is not None:
                    await self._connection.send(farewell, within_s=CLOSE_S)
                await self._connection.close()
        except (TimeoutError, SocketEnded):
            self._connection.abort()


_BROKEN_RULES = {
    WSCloseCode.MESSAGE_TOO_BIG: "sent a frame that is too large",
    WSCloseCode.INVALID_TEXT: "sent text that is not UTF-8",
    WSCloseCode.PROTOCOL_ERROR: "broke the protocol",
    WSCloseCode.UNSUPPORTED_DATA: "sent binary data, which is not understood",
}


def _closed(why: SocketEnded) -> EngineError:
    if why.said is not None and why.said in _BROKEN_RULES:
        return EngineError(f"The answering engine {_BROKEN_RULES[why.said]}.")
    return EngineClosed("The answering engine closed the connection.", clean=why.clean)


_addresses: dict[str, Address] = {}


def addresses() -> list[Address]:
    """The engines of the settings, or the embedded one, in the order they are to be tried now."""
    if settings.MIVA_ENGINE_URLS:
        known = [_addresses.setdefault(url, Address(url, None, Breaker())) for url in settings.MIVA_ENGINE_URLS]
    else:
        path = engine_process.socket_path()
        known = [_addresses.setdefault(str(path), Address("ws://localhost/", path, Breaker()))]
    now = time.monotonic()
    return sorted(known, key=lambda address: address.breaker.rests_until(now))


async def open_link(*, documents: bool, tried: set[str] | None = None, patience_s: float = 0.0) -> Link:
    """A new connection to the first engine that takes one; raises EngineUnavailable.

    `documents` offers miva.engine.v1. Addresses whose URL is in `tried` come last: a retry prefers another engine.
    Where none takes one, all are tried again for `patience_s` seconds, so that an engine may be started anew.
    """
    deadline = time.monotonic() + patience_s
    while True:
        failures = []
        for address in sorted(addresses(), key=lambda address: address.url in (tried or ())):
            try:
                link = await open_at(address, documents=documents)
            except OSError as why:
                address.breaker.failed(time.monotonic())
                failures.append(f"{address.label}: {str(why) or type(why).__name__}")
            else:
                address.breaker.worked()
                return link
        if time.monotonic() + RETURN_POLL_S > deadline:
            logger.warning("No engine takes a connection (%s)", "; ".join(failures))
            raise EngineUnavailable()
        await asyncio.sleep(RETURN_POLL_S)


async def open_at(address: Address, *, documents: bool) -> Link:
    """A new connection to this engine; raises OSError with what went wrong. `documents` offers miva.engine.v1, which is
    also offered to an engine that refuses a connection without it."""
    if address.socket is not None and address.socket.parent.exists() and not engine_process.is_ours(address.socket):
        raise OSError("the engine's socket folder can be written by somebody else")
    options: dict[str, Any] = {
        "subprotocol": engine.SUBPROTOCOL if documents else None,
        "most": settings.MIVA_ENGINE_MAX_FRAME,
        "within_s": settings.MIVA_ENGINE_CONNECT_S,
        # A busy engine may be slow to answer a ping; it is as alive as its longest allowed silence.
        "ping_timeout_s": settings.MIVA_ENGINE_TIMEOUT_S,
    }
    deadline = time.monotonic() + START_S
    while True:
        try:
            if address.socket is not None:
                return Link(await engine_unix_socket.connect(address.socket, **options), address)
            return Link(await engine_socket.connect(address.url, **options), address)
        except Refused:
            if options["subprotocol"] is not None:
                raise
            options["subprotocol"] = engine.SUBPROTOCOL  # some take nobody who offers none
        except OSError:
            # The embedded engine may be on its way up, or down in the middle of a handshake.
            if address.socket is None or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def greeted(link: Link) -> engine.EngineHello:
    """The hello of an engine that keeps documents, which is its first frame; raises EngineError or EngineTimeout."""
    hello = engine.read(await link.receive_within(HELLO_S), keeps_documents=True)
    if not isinstance(hello, engine.EngineHello):
        raise EngineError("The answering engine did not introduce itself.")
    return hello


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of the engine: `keeps_documents` and its models only where it speaks miva.engine.v1."""

    name: str
    models: tuple[str, ...] = ()
    embedding_dim: int = 0
    keeps_documents: bool = False
    reachable: bool = True


_NOT_ASKED_YET = EngineInfo("engine")
_info: tuple[float, EngineInfo] | None = None


def remember(hello: engine.EngineHello | None) -> None:
    """Notes what a connection has just shown of the engine; None for one that did not select miva.engine.v1."""
    global _info
    info = EngineInfo(hello.name, hello.models, hello.embedding_dim, keeps_documents=True) if hello else _NOT_ASKED_YET
    _info = (time.monotonic(), info)


def may_keep_documents() -> bool:
    """Whether the engine keeps documents, as far as is known; asks nobody. The embedded one does."""
    return _info[1].keeps_documents if _info is not None else not settings.MIVA_ENGINE_URLS


async def engine_info() -> EngineInfo:
    """What is known of the engine; asks only the embedded one, so that nobody else's gets connections for nothing."""
    if _info is None and not settings.MIVA_ENGINE_URLS:
        return await probe()
    return _info[1] if _info else _NOT_ASKED_YET


async def probe(*, fresh_s: float = PROBE_AGAIN_S) -> EngineInfo:
    """Opens a connection to see who the engine is, at most every `fresh_s` seconds; never raises."""
    global _info
    if _info is None or time.monotonic() - _info[0] > fresh_s:
        try:
            link = await open_link(documents=True)
            try:
                remember(await greeted(link) if link.keeps_documents else None)
            finally:
                await link.close()
        except EngineFailed:
            _info = (time.monotonic(), EngineInfo("engine", reachable=False))
    assert _info is not None
    return _info[1]


async def engine_health() -> dict[str, Any]:
    """What `/api/health/` says of the engine: status "ok" or "down", name, models, embedding_dim."""
    info = await probe(fresh_s=1.0)
    return {
        "status": "ok" if info.reachable else "down",
        "name": info.name,
        "models": list(info.models),
        "embedding_dim": info.embedding_dim,
    }
