"""What all connections share: the documents, the threads that work on them, and the way to an answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from miva.engine.answer import Answer, compose
from miva.engine.envelope import EnvelopeFile, parse
from miva.engine.frames import FrameError, Question
from miva.engine.index import DocumentIndex
from miva.engine.intake import Intake
from miva.engine.search import Asked
from miva.engine.store import Library, Shelf

P = ParamSpec("P")
R = TypeVar("R")

# A question about a document that is just arriving waits so long for the pages already sent, then goes without.
SETTLE_S = 2.0


@dataclass(frozen=True)
class Attached:
    """A document that came inside a question: its key on the shelf and how it was called."""

    key: str
    name: str
    paged: bool


@dataclass
class Conversation:
    """What one `unique_id` of one connection said before; its questions are answered one after the other."""

    attached: tuple[Attached, ...] = ()
    previous: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Service:
    """The engine behind its door. `wait_s` bounds the wait for documents that were asked for with `need`."""

    def __init__(self, data: Path, wait_s: float) -> None:
        self._library = Library(data / "documents")
        self._shelf = Shelf()
        self._wait_s = wait_s
        # Apart, so that a long document being indexed leaves threads for questions.
        self._readers = ThreadPoolExecutor(2, "index")
        self._thinkers = ThreadPoolExecutor(8, "answer")
        self._intakes: dict[str, dict[Intake, asyncio.Task[None]]] = {}
        self._arrival = asyncio.Event()  # set, and replaced, whenever an intake ends

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thinkers, lambda: work(*args, **kwargs))

    async def announce(self, document: str, owner: str, name: str) -> int | None:
        """Note a document's name; the number of its chunks if it is held already, else None."""
        return await self.in_thread(self._announce, document, owner, name)

    def _announce(self, document: str, owner: str, name: str) -> int | None:
        self._library.set_name(document, owner, name)
        index = self._library.open(document)
        if index is None:
            return None
        chunks = index.chunk_count()
        index.close()
        return chunks

    def new_intake(self, pages: int) -> Intake:
        """A place for a document that is about to be sent."""
        return Intake(self._readers, pages)

    def register(self, document: str, intake: Intake, task: asyncio.Task[None]) -> None:
        """From now until `task` ends, questions may be answered from what `intake` has."""
        self._intakes.setdefault(document, {})[intake] = task

        def ended(_task: asyncio.Task[None]) -> None:
            del self._intakes[document][intake]
            if not self._intakes[document]:
                del self._intakes[document]
            self._arrival.set()
            self._arrival = asyncio.Event()

        task.add_done_callback(ended)

    async def take_in(self, document: str, intake: Intake, report: Callable[[int, int], Awaitable[None]]) -> int:
        """Index a document while it is being sent, then keep it; the number of its chunks."""
        await intake.run(report)
        await self.in_thread(self._library.save, document, intake.index)
        return intake.index.chunk_count()

    async def forget(self, document: str) -> None:
        """Delete a document, also one that is still being sent."""
        for task in list(self._intakes.get(document, {}).values()):
            task.cancel()
        await self.in_thread(self._library.forget, document)

    async def stored(self, question: Question, need: Callable[[list[str]], Awaitable[None]]) -> list[Asked]:
        """The documents a question names, asked for with `need` where they are not held.

        Raises `FrameError` when one of them does not come in time.
        """
        missing = await self._missing(question.documents)
        if missing:
            await need(missing)
            missing = await self._await_documents(missing)
        if missing:
            raise FrameError(
                f"{len(missing)} of the {len(question.documents)} documents asked about did not arrive within "
                f"{self._wait_s:g} seconds. Send them and ask again."
            )
        return [await self._asked(document, question.names.get(document)) for document in question.documents]

    async def _missing(self, documents: Sequence[str]) -> list[str]:
        held = await self.in_thread(lambda: {d for d in documents if self._library.holds(d)})
        return [d for d in documents if d not in held and d not in self._intakes]

    async def _await_documents(self, documents: list[str]) -> list[str]:
        """Wait until all of them have come; those that have not even begun to when the time is over."""
        try:
            async with asyncio.timeout(self._wait_s):
                while True:
                    arrival = self._arrival
                    if await self.in_thread(lambda: all(map(self._library.holds, documents))):
                        return []
                    await arrival.wait()
        except TimeoutError:
            return await self._missing(documents)

    async def _asked(self, document: str, name: str | None) -> Asked:
        shown = name if name else await self.in_thread(self._library.name, document)
        index = await self.in_thread(self._library.open, document)
        if index is not None:
            return Asked(document, shown, index)
        intakes = self._intakes.get(document)
        if intakes:
            intake = max(intakes, key=lambda i: i.done)
            await intake.settled(SETTLE_S)
            whole = intake.ended and intake.idle
            return Asked(document, shown, intake.index, read=None if whole else (intake.done, intake.total))
        raise FrameError(f"{shown} was deleted, or is no longer being sent; send it and ask again.")

    async def attached(self, question: Question, conversation: Conversation) -> tuple[str, list[Asked]]:
        """A question out of its envelope, and the documents in it, or else those this conversation had before.

        Raises `FrameError` when those of before are no longer in memory.
        """
        message, attached = await self.in_thread(self._unwrap, question.message)
        if attached:
            conversation.attached = attached
        asked = []
        for document in conversation.attached:
            index = self._shelf.get(document.key)
            if index is None:
                raise FrameError(f"I no longer have {document.name} in memory; please attach it again.")
            asked.append(Asked(document.key, document.name, index, document.paged))
        return message, asked

    def _unwrap(self, message: str) -> tuple[str, tuple[Attached, ...]]:
        envelope = parse(message)
        return envelope.question, tuple(self._shelve(file) for file in envelope.files)

    def _shelve(self, file: EnvelopeFile) -> Attached:
        pages = file.pages if file.pages is not None else ((1, file.text or ""),)
        digest = hashlib.sha256()
        for number, text in pages:
            digest.update(f"{number} {len(text)} ".encode() + text.encode())
        key = digest.hexdigest()
        if self._shelf.get(key) is None:
            index = DocumentIndex.in_memory()
            for number, text in pages:
                index.add_page(number, text)
            self._shelf.put(key, index, sum(len(text) for _, text in pages))
        return Attached(key, file.name, file.pages is not None)

    async def answer(self, message: str, documents: Sequence[Asked], previous: str) -> Answer:
        """The answer to a question from these documents."""
        return await self.in_thread(compose, message, documents, previous)
