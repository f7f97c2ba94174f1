"""The WebSocket consumer. It only carries: frames in to the dialogue of their dialect, frames and close codes out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings

from miva import database_away, no_room, sockets
from miva.asgi_extension import SEND_TEXTS
from miva.choosing import dialogue_for
from miva.dialogues import Dialogue
from miva.identity import Speaker
from miva.limits import limits
from miva.middleware import Receive, Scope, Send, query_of
from miva.protocol import frames, plain, v1
from miva.protocol.errors import Busy, Internal, MivaError
from miva.protocol.requests import Request

logger = logging.getLogger("miva.consumers")

MISTAKES, MISTAKES_S = 20, 10.0
"""More mistakes than this in so many seconds close a socket."""
MOST_PENDING = 1000
"""Frames of one socket that may be under way."""
CLOSE_MISTAKES, CLOSE_LOGIN, CLOSE_TOO_MANY = 1008, 4401, 4429
CLOSE_MISTAKES_DAPHNE = 4008
"""Daphne can send none of the codes from 1001 to 2999."""
_NONCE = secrets.token_hex(16)


class _EmptyText(str):
    """An empty frame's text that counts as true: daphne drops a message whose text is false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


class ChatConsumer(AsyncConsumer):  # type: ignore[misc]
    """One browser socket on /ws/chat/. It opens no channel layer (whose failure would close it) but hears the hub."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._mistakes: deque[float] | None = None
        self._pending_size = 0
        self._is_open = False
        self._place: str | None = None
        self._choose: Callable[[dict[str, Any] | None], Dialogue] | None = None
        self._dialogues: set[Dialogue] = set()
        self._end_watch: Callable[[], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands on the socket's messages one by one (Channels would start tasks for each, to listen to a layer too)."""
        self.scope, self.base_send = scope, send
        self._sends_many = SEND_TEXTS in scope.get("extensions", {})
        with contextlib.suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def dispatch(self, message: MutableMapping[str, Any]) -> None:
        """Calls the handler of an ASGI message (without Channels' visit to a database thread before each)."""
        match message["type"]:
            case "websocket.receive":
                if (data := message.get("bytes")) is not None:
                    await self._receive_bytes(data)
                else:
                    self._receive(message["text"])
            case "websocket.connect":
                await self._connect()
            case "websocket.disconnect":
                await self._disconnect()
                raise StopConsumer

    async def _connect(self) -> None:
        offered = self.scope.get("subprotocols", [])
        subprotocol = next((name for name in offered if name in (v1.SUBPROTOCOL, plain.SUBPROTOCOL)), None)
        await self.base_send({"type": "websocket.accept", "subprotocol": subprotocol})
        self._is_open = True
        speaker: Speaker | None = self.scope["speaker"]
        if speaker is None:
            await self._close(CLOSE_LOGIN)
            return
        self.speaker = speaker
        self._caller = speaker.counted_as((self.scope.get("client") or [""])[0])
        self._place = await limits.take_socket(self._caller)
        if self._place is None:
            await self._close(CLOSE_TOO_MANY)
            return
        self._end_watch = sockets.watch(self)
        parameters = query_of(self.scope)
        welcomes = subprotocol is None and "token" in parameters and parameters.get("dialect") != ["plain"]
        self._choose = dialogue_for(subprotocol, speaker, self._caller, self._send, welcomes=welcomes)
        await self._dialogue(None).greet() if welcomes or subprotocol else None

    def _receive(self, text: str) -> None:
        """Starts the work of a frame in a task: while this handler waits, nothing else of the socket is seen."""
        if self._choose is None or not self._is_open:
            return
        dialogue, request = self._dialogue(None), None
        try:
            data = frames.parse(text, _NONCE)
            dialogue = self._dialogue(data)
            request = dialogue.decode(data, text)
            size = len(text)
            is_too_much = self._pending_size and self._pending_size + size > settings.MIVA_MAX_FRAME
            if is_too_much or len(self._tasks) >= MOST_PENDING:
                raise Busy("Too much is waiting on this connection. Wait for an answer before you send more.")
        except MivaError as why:
            self._start(self._refuse(dialogue, why, request))
            return
        except Exception:
            logger.exception("A frame could not be understood")
            self._start(self._refuse(dialogue, Internal(), request))
            return
        self._pending_size += size
        self._start(self._carry_out(dialogue, request, size))

    async def _receive_bytes(self, data: bytes) -> None:
        """Waits until a piece of a file is written, so that no more of them are read from the socket than that."""
        if self._choose is None or not self._is_open:
            return
        dialogue = self._dialogue(None)
        try:
            work = self._carry_out(dialogue, dialogue.decode_bytes(data), 0)
        except MivaError as why:
            work = self._refuse(dialogue, why, None)
        await asyncio.wait([self._start(work)])

    async def _carry_out(self, dialogue: Dialogue, request: Request, size: int) -> None:
        try:
            await dialogue.carry_out(request)
        except MivaError as why:
            await self._refuse(dialogue, why, request)
        except database_away.UNREACHABLE as why:
            await self._refuse(dialogue, database_away.told(why), request)
        except Exception as why:
            if no_room.is_it(why):
                error: MivaError = no_room.told(why)
            else:
                logger.exception("A frame could not be carried out")
                error = Internal()
            await self._refuse(dialogue, error, request)
        finally:
            self._pending_size -= size

    async def _refuse(self, dialogue: Dialogue, error: MivaError, request: Request | None) -> None:
        """The one place where an error becomes a frame; too many mistakes end the socket."""
        await self._send(dialogue.error(error, request))
        if error.is_mistake:
            now = time.monotonic()
            if self._mistakes is None:  # an empty one takes more memory than the rest of a quiet socket
                self._mistakes = deque(maxlen=MISTAKES + 1)
            self._mistakes.append(now)
            if len(self._mistakes) > MISTAKES and now - self._mistakes[0] < MISTAKES_S:
                await self._close(CLOSE_MISTAKES)

    async def end_login(self) -> None:
        """Closes a socket whose login ended; its client comes back as whoever it is then."""
        await self._close(CLOSE_LOGIN)

    def _dialogue(self, data: dict[str, Any] | None) -> Dialogue:
        assert self._choose is not None
        dialogue = self._choose(data)
        self._dialogues.add(dialogue)
        return dialogue

    async def _send(self, *texts: str) -> None:
        """Text frames in order; in one step where the server knows how, which costs half as much."""
        if not self._is_open:
            return
        try:
            if self._sends_many:
                await self.base_send({"type": SEND_TEXTS, "texts": texts})
                return
            for text in texts:
                if self._is_open:
                    await self.base_send({"type": "websocket.send", "text": text or _EmptyText()})
        except (OSError, RuntimeError):  # the client is gone; its disconnect is on the way
            self._is_open = False

    async def _close(self, code: int) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError, RuntimeError):  # the client was faster
                try:
                    await self.base_send({"type": "websocket.close", "code": code})
                except (OSError, RuntimeError):
                    raise
                except Exception:  # autobahn's, under daphne, has no kind of its own: it cannot send this code
                    await self.base_send({"type": "websocket.close", "code": CLOSE_MISTAKES_DAPHNE})

    async def _disconnect(self) -> None:
        self._is_open = False
        if self._end_watch is not None:
            self._end_watch()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(dialogue.close() for dialogue in self._dialogues), return_exceptions=True)
        if self._place is not None:
            await limits.give_back(self._caller, self._place)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
