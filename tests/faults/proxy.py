"""A TCP proxy between two parts, which cuts, delays and swallows what passes through it."""

from __future__ import annotations

import asyncio
import contextlib


class Pipe:
    """One connection through the proxy, both ways."""

    def __init__(self, proxy: Proxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = (near, far)
        self._passing = (asyncio.Event(), asyncio.Event())
        for way in self._passing:
            way.set()

    def hold(self, *, only_back: bool = False) -> None:
        """From now on nothing passes, or nothing comes back, and neither side is told."""
        for way in self._passing[only_back:]:
            way.clear()

    def cut(self) -> None:
        """Ends the connection without a word, to both sides."""
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        """Ends the connection when what passed is written."""
        for writer in self._writers:
            writer.close()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._proxy.delay_s:
                    await asyncio.sleep(self._proxy.delay_s)
                await self._passing[is_back].wait()
                await self._proxy.passing.wait()
                writer.write(data)
                await writer.drain()


class Proxy:
    """Listens on a port of its own in front of a port of this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_s = 0.0
        """By how much each piece is late."""
        self.passing = asyncio.Event()
        self.passing.set()
        self.pipes: dict[int, Pipe] = {}
        """The connections that are open, by the port from which the near side comes."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Proxy:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def hold(self) -> None:
        """A black hole: connections are taken and stay open, and nothing passes."""
        self.passing.clear()

    def go_on(self, *, cutting: bool = False) -> None:
        """Everything passes again, late; with `cutting` what was held is lost with its connections."""
        if cutting:
            self.cut()
        self.passing.set()

    def cut(self) -> None:
        """Ends all connections without a word."""
        for pipe in list(self.pipes.values()):
            pipe.cut()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(near, to_near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        port: int = to_near.get_extra_info("peername")[1]
        try:
            far, to_far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_near.transport.abort()
            return
        pipe = self.pipes[port] = Pipe(self, to_near, to_far)
        there = asyncio.create_task(pipe.pump(near, to_far, is_back=False))
        back = asyncio.create_task(pipe.pump(far, to_near, is_back=True))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in (there, back):
                way.cancel()
            pipe.close()
            if self.pipes.get(port) is pipe:
                del self.pipes[port]
