"""Something between a browser and the server that lets no WebSocket through, or breaks every line, as a test wishes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

_UPGRADES = re.compile(rb"\r\n(?:upgrade|connection|sec-websocket-[a-z]+):[^\r]*", re.IGNORECASE)


class MeddlingProxy:
    """Listens while it is entered. Whoever goes to `url` reaches the server on `port`, as far as these let them:

    `strips_upgrades`: a request to open a WebSocket reaches the server as an ordinary one.
    `breaks_after`: the next line on which so many bytes have gone up is broken then.
    """

    def __init__(self, port: int) -> None:
        self.strips_upgrades = False
        self.breaks_after: int | None = None
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> MeddlingProxy:
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self.break_lines()
        self._run(asyncio.sleep(0.1))  # what carried them comes to its end
        self._loop.call_soon_threadsafe(self._loop.stop)

    def break_lines(self) -> None:
        """Ends every line that is open now, without a goodbye."""

        async def end() -> None:
            for writer in list(self._writers):
                writer.transport.abort()

        self._run(end())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.strips_upgrades and b"websocket" in head.lower():
                head = _UPGRADES.sub(b"", head)
            back, forth = await asyncio.open_connection("127.0.0.1", self._port)
            forth.write(head)
            self._writers |= {writer, forth}
            down = asyncio.create_task(self._carry(back, writer, forth))
            await self._carry(reader, forth, writer, is_up=True)
            await down
            self._writers -= {writer, forth}
        writer.close()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
        is_up: bool = False,
    ) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := await source.read(2**16):
                target.write(data)
                await target.drain()
                carried += len(data)
                if is_up and self.breaks_after is not None and carried >= self.breaks_after:
                    self.breaks_after = None
                    target.transport.abort()
                    other.transport.abort()
        target.close()
        if is_up:
            other.close()
