"""A tab of somebody's browser: a miva.v1 client that follows the contract, whatever becomes of its connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Origin, Subprotocol

from tests.faults.record import ENDS, Counts, Frame, View
from tests.faults.script import Question
from tests.faults.stage import Worker

PING_S, PONG_PATIENCE_S = 1.0, 3.0
"""How a tab finds out that its connection is dead."""
OPEN_PATIENCE_S = 3.0
AGAIN_S = (0.05, 0.5)
"""Between two attempts to connect: from, to."""
ASK_AGAIN_S = 1.0
"""After a question was refused."""


class Tab:
    """Follows conversations over one socket at a time; comes back by itself through any worker's door."""

    def __init__(self, name: str, cookie: str, workers: Sequence[Worker], counts: Counts, seed: str) -> None:
        self.name = name
        self.views: dict[str, View] = {}
        """What it shows of each conversation that it follows."""
        self.forgotten: list[View] = []
        """What it showed before it was loaded anew, and conversations that it has left."""
        self.worker = workers[0]
        """Whose door it came in by last."""
        self.ended: dict[str, tuple[float, str]] = {}
        """When it saw a question's turn end, by the loop's clock, and how."""
        self._workers = workers
        self._cookie = cookie
        self._counts = counts
        self._rng = random.Random(seed)
        self._online = asyncio.Event()
        self._online.set()
        self._away = asyncio.Lock()
        self._gone = asyncio.Event()
        self._gone.set()
        self._socket: ClientConnection | None = None
        self._outgoing: asyncio.Queue[Frame] | None = None
        self._unconfirmed: dict[str, tuple[str, Question]] = {}
        self._turns: dict[str, str] = {}
        self._questions: dict[str, str] = {}
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._soon: set[asyncio.Task[None]] = set()

    def open(self) -> Tab:
        """Begins to connect, and does so again and again until `close`."""
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def close(self) -> None:
        for task in [self._task, *self._soon]:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def follow(self, label: str) -> None:
        """Shows a conversation from its beginning."""
        if label not in self.views:
            self.views[label] = View(self.name, label, self._counts)
            self._say(self._resume(label))

    def ask(self, label: str, question: Question) -> None:
        """Asks, and asks again under the same id until it is accepted; a new conversation begins with it."""
        if label not in self.views:
            self.views[label] = View(self.name, label, self._counts)
        self._unconfirmed[question.name] = label, question
        self._say(_ask(label, question))

    def cancel(self, question: Question) -> None:
        """Stops an answer, where this tab knows of it and is connected."""
        if question.name in self._turns:
            self._say({"type": "cancel", "turn": self._turns[question.name]})

    def has_ended(self, question: Question) -> bool:
        return question.name in self.ended

    def how_ended(self, question: Question) -> str:
        return self.ended[question.name][1]

    def is_at(self, worker: Worker, question: Question) -> bool:
        """Whether it is connected there, and is shown this question's answer at this moment."""
        is_shown = question.name in self._turns and question.name not in self.ended
        return self.worker is worker and self._outgoing is not None and is_shown

    def leave(self, label: str) -> None:
        """Shows a conversation no more."""
        self.forgotten.append(self.views.pop(label))

    async def see(self, question: Question, *, end: bool, patience: float) -> bool:
        """Waits until it was shown that the question is accepted, or its turn's end; False where it was not."""
        known = self.ended if end else self._turns
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: question.name in known)
        return question.name in known

    async def reach(self, label: str, seq: int, patience: float) -> bool:
        """Waits until it was shown a conversation up to this number; False where it was not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: self.views[label].last >= seq)
        return self.views[label].last >= seq

    async def away(self, seconds: float, *, politely: bool = False, forgets: bool = False) -> None:
        """Loses its connection and comes back later on a new socket; one that is loaded anew resumes from 0."""
        async with self._away:
            self._online.clear()
            await self._leave_server(politely)
            await self._gone.wait()
            await asyncio.sleep(seconds)
            if forgets:
                self.forgotten += self.views.values()
                self.views = {label: View(f"{self.name}'", label, self._counts) for label in self.views}
            self._online.set()

    def vanish(self, *, only_back: bool = False) -> None:
        """Nothing passes any more on its connection, or nothing comes back, and it has to find that out."""
        for transport in self._transports():
            pipe = self.worker.door.pipes.get(_port(transport))
            if pipe is not None:
                pipe.hold(only_back=only_back)

    async def _leave_server(self, politely: bool) -> None:
        if politely and self._socket is not None:
            await self._socket.close()
            return
        for transport in self._transports():
            pipe = self.worker.door.pipes.get(_port(transport))
            if pipe is not None:
                pipe.cut()
            transport.abort()

    def _transports(self) -> list[asyncio.Transport]:
        """Its connections that are open."""
        return [self._socket.transport] if self._socket is not None else []

    async def _run(self) -> None:
        while True:
            await self._online.wait()
            self.worker = self._rng.choice(self._workers)
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, InvalidMessage, EOFError):
                await self._session()
            await asyncio.sleep(self._rng.uniform(*AGAIN_S))

    async def _session(self) -> None:
        socket = await connect(
            f"ws://127.0.0.1:{self.worker.door.port}/ws/chat/",
            subprotocols=[Subprotocol("miva.v1")],
            additional_headers={"Cookie": self._cookie},
            origin=Origin(f"http://127.0.0.1:{self.worker.door.port}"),
            ping_interval=PING_S,
            ping_timeout=PONG_PATIENCE_S,
            open_timeout=OPEN_PATIENCE_S,
            close_timeout=0.5,
            max_size=None,
            compression=None,
            proxy=None,
        )
        self._gone.clear()
        self._socket = socket
        outgoing = self._begin()
        sending = asyncio.create_task(_send(socket, outgoing))
        try:
            if not self._online.is_set():  # it went away in the very moment
                await self._leave_server(False)
            async for text in socket:
                await self._take(json.loads(text))
        except ConnectionClosed as why:
            if why.rcvd is not None and why.rcvd.code == 1011:
                self._counts.surprises.append(f"{self.name} was closed with 1011")
        finally:
            sending.cancel()
            self._socket = self._outgoing = None
            socket.transport.abort()
            self._gone.set()

    def _begin(self) -> asyncio.Queue[Frame]:
        """What there is to be said at the beginning of a connection, and whatever comes then."""
        outgoing = self._outgoing = asyncio.Queue()
        for label, view in self.views.items():
            view.repeats.clear()
            self._say(self._resume(label))
        for label, question in self._unconfirmed.values():
            self._repeat(label, question)
        return outgoing

    async def _take(self, frame: Frame) -> None:
        if "seq" in frame:
            view = self.views.get(frame["conversation"])
            if view is None and frame["type"] == "accepted":  # one that was asked again; the first was shown
                return
            if view is None:
                self._counts.surprises.append(f"{self.name} was told {frame} of a conversation that it has left")
            elif view.take(frame):
                self._note(frame)
            async with self._news:
                self._news.notify_all()
        elif frame["type"] == "gap":
            self._counts.found("lost", 1, f"{self.name} was shown a gap of {frame['conversation']}")
            self.views[frame["conversation"]].last = frame["head"]
        elif frame["type"] == "error":
            self._refused(frame)

    def _note(self, frame: Frame) -> None:
        turn = frame["turn"]
        if frame["type"] == "accepted":
            self._turns[frame["id"]], self._questions[turn] = turn, frame["id"]
            self._unconfirmed.pop(frame["id"], None)
        elif frame["type"] in ENDS:
            self.ended.setdefault(self._questions.get(turn, ""), (asyncio.get_running_loop().time(), frame["type"]))

    def _refused(self, frame: Frame) -> None:
        """A question or a resume was refused: only a conversation that nobody has begun yet does not exist."""
        id = frame.get("id", "")
        if id in self._unconfirmed:
            self._counts.kinds[f"(refused: {frame['code']})"] += 1
            task = asyncio.create_task(self._ask_later(id))
            self._soon.add(task)
            task.add_done_callback(self._soon.discard)
        elif not (frame["code"] == "not_found" and id in self.views and not self.views[id].last):
            self._counts.surprises.append(f"{self.name} was told {frame}")

    async def _ask_later(self, id: str) -> None:
        await asyncio.sleep(ASK_AGAIN_S)
        if id in self._unconfirmed:
            self._repeat(*self._unconfirmed[id])

    def _repeat(self, label: str, question: Question) -> None:
        self.views[label].repeats[question.name] += 1
        self._say(_ask(label, question))

    def _resume(self, label: str) -> Frame:
        return {"type": "resume", "conversation": label, "after": self.views[label].last, "id": label}

    def _say(self, frame: Frame) -> None:
        """Sends where it is connected; what matters is said again after the next connect."""
        if self._outgoing is not None:
            self._outgoing.put_nowait(frame)


def _ask(label: str, question: Question) -> Frame:
    return {"type": "ask", "id": question.name, "conversation": label, "message": question.message}


def _port(transport: asyncio.Transport) -> int:
    """The port from which a connection comes; 0 where it has ended."""
    address = transport.get_extra_info("sockname")
    return int(address[1]) if address else 0


async def _send(socket: ClientConnection, outgoing: asyncio.Queue[Frame]) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.send(json.dumps(await outgoing.get()))
