"""Daphne as we need it: frames of our size, no more of them in memory than needed, parts that start and stop with it,
sockets told that it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from miva import startup
from miva.servers import hidden

logger = logging.getLogger("miva.daphne_server")

DEFAULT = 1024 * 1024
"""Daphne's own limit of a frame."""
CLOSE_RESTARTS = 1012
GOODBYE_S = 1.0
"""How long clients have to answer the close frame."""
MOST_WAITING = 4
"""Frames that came and the application has not taken; with more, no bytes are read from the client."""
LOOK_S = 0.005


class PatientProtocol(WebSocketProtocol):  # type: ignore[misc]
    """Daphne's protocol, which else keeps in memory whatever a client sends faster than it is worked on, and sends no
    frame that is larger than those it takes."""

    maxMessagePayloadSize: int
    _is_waiting = False

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if not self._is_waiting and self.application_queue.qsize() > MOST_WAITING:
            self._is_waiting = True
            self.transport.pauseProducing()
            self._look()

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:
        """Sends a frame of any size: autobahn else holds what goes out to the limit of what may come in, and an
        engine's long frame would end with an exception in the task that tells it."""
        most, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, isBinary, **options)
        finally:
            self.maxMessagePayloadSize = most

    def _look(self) -> None:
        loop: Any = reactor
        if self.application_queue.qsize() > MOST_WAITING and self.state == self.STATE_OPEN:
            loop.callLater(LOOK_S, self._look)
        else:
            self._is_waiting = False
            self.transport.resumeProducing()


class MivaServer(Server):  # type: ignore[misc]
    """A daphne that begins and ends as a server with an ASGI lifespan does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        for name in ("websocket_max_message_size", "websocket_max_frame_size"):
            if options.get(name, DEFAULT) == DEFAULT:
                options[name] = settings.MIVA_MAX_FRAME
        write = options.get("action_logger")
        if write is not None:  # daphne's own access log, which no logger has a part in
            options["action_logger"] = lambda protocol, action, details: write(protocol, action, _for_logs(details))
        super().__init__(*args, **options)
        WebSocketFactory.protocol = PatientProtocol

    def run(self) -> None:
        self._beginning: asyncio.Task[None] | None = None
        loop: Any = reactor
        loop.callLater(0, self._begin)  # as soon as the event loop runs
        super().run()

    def _begin(self) -> None:
        self._beginning = asyncio.ensure_future(startup.begin_serving())

    def kill_all_applications(self) -> Deferred[Any]:
        """Called before daphne shuts down, which waits for what is returned."""
        return Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        for listener in self.listeners:
            listener.addCallback(lambda port: port.stopListening())
        sockets = [found for found in self.connections if isinstance(found, WebSocketProtocol)]
        for socket in sockets:
            if socket.state == WebSocketProtocol.STATE_OPEN:
                socket.closeHandshakeTimeout = 0  # no deadline of autobahn's: ours is below
                try:
                    # Not `sendClose`, which lets an application say no code below 3000; this is the server's to say.
                    socket.sendCloseFrame(code=CLOSE_RESTARTS)
                except Exception:
                    logger.exception("A socket could not be told that the server ends")
        await startup.end_serving()
        deadline = asyncio.get_running_loop().time() + GOODBYE_S
        while any(socket.state != WebSocketProtocol.STATE_CLOSED for socket in sockets):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        applications = [details.get("application_instance") for details in self.connections.values()]
        running = [application for application in applications if application is not None and not application.done()]
        for application in running:
            application.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _for_logs(details: dict[str, Any]) -> dict[str, Any]:
    return {name: hidden(value) for name, value in details.items()}


def install() -> None:
    """Makes the `daphne` command use this server."""
    CommandLineInterface.server_class = MivaServer
