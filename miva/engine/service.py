"""What all connections share: the documents, the threads that work on them, and the way to an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from miva.engine import descriptors
from miva.engine.answer import Answer, compose, leans_on_another
from miva.engine.asked import Asked
from miva.engine.attachments import Attached, Attachments, Conversation
from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.frames import FrameError, Question
from miva.engine.intake import Intake, Report
from miva.engine.llm.task import Excerpt, Message
from miva.engine.meaning import Meaning
from miva.engine.overview import is_overview
from miva.engine.prose import Speaker
from miva.engine.search import as_embedded
from miva.engine.stores.base import Index, Library, StoreError, VectorStore
from miva.engine.stores.matrix_vectors import VectorsInMemory
from miva.engine.text import MAX_QUESTION, is_latin, one_line
from miva.engine.vectoriser import Vectoriser, to_its_end

logger = logging.getLogger("miva.engine")

P = ParamSpec("P")
R = TypeVar("R")

# A question about a document that is just arriving waits so long for the pages already sent, then goes without.
SETTLE_S = 2.0
# A question about a document that lacks only so few vectors waits so long for them, …
FEW_CHUNKS = 32
SETTLE_VECTORS_S = 0.5
# … and where it has arrived, but is not kept yet, so long for that, for it has vectors only then.
SETTLE_KEPT_S = 0.5


class Service:
    """The engine behind its door.

    `library` and `vectors` keep the documents; `embeddings` makes vectors of texts; `speaker` makes prose of what was
    found; `wait_s` bounds the wait for documents that were asked for with `need`.
    """

    def __init__(
        self, library: Library, vectors: VectorStore, embeddings: EmbeddingQueue, speaker: Speaker, wait_s: float
    ) -> None:
        self.speaker = speaker
        self._library = library
        self._vectors = vectors
        self._meaning = Meaning(embeddings)
        self._attachments = Attachments()
        self._wait_s = wait_s
        # Apart, so that a long document being indexed leaves threads for questions.
        self._readers = ThreadPoolExecutor(2, "index")
        self._thinkers = ThreadPoolExecutor(8, "answer")
        self._closer = ThreadPoolExecutor(1, "close")
        self._descriptors = descriptors.for_documents()
        self._vectoriser = Vectoriser(embeddings, self._readers)
        self._intakes: dict[str, dict[Intake, asyncio.Task[None]]] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._arrival = asyncio.Event()  # set, and replaced, whenever an intake ends

    @property
    def dimension(self) -> int:
        """The components of a vector; 0 where the model is not installed. It may still be loading, for a second."""
        return self._meaning.dimension

    async def go_on(self) -> None:
        """Goes on with the documents whose vectors an engine before this one did not finish."""
        try:
            for document in await self.in_thread(lambda: list(self._library.documents())):
                self._vectorise(document)
        except StoreError as why:
            logger.warning("Documents without vectors are looked for when they are asked about (%s)", why)

    def _vectorise(self, document: str) -> None:
        self._vectoriser.start(document, lambda: self._library.open(document), self._vectors, closes=True)

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

    async def take_in(
        self, document: str, intake: Intake, report: Report, ready: Callable[[int], Awaitable[None]]
    ) -> None:
        """Index a document while it is being sent, then keep it.

        `ready` hears the number of its chunks once questions find all of it, which is before it is kept: where that
        fails, those who ask are told that the document is needed again. `report` is as in `Intake.run`.
        """
        await intake.run(report)
        keeping = asyncio.create_task(self._keep(document, intake), name="keeping")
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        try:
            await ready(intake.chunks)
        finally:
            await to_its_end(keeping)

    async def _keep(self, document: str, intake: Intake) -> None:
        await self.in_thread(self._library.save, document, intake.index)
        self._vectorise(document)

    async def kept(self, seconds: float) -> None:
        """Returns once all documents that were told as ready are kept, but no later than in `seconds`."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=seconds)

    def is_worked_at(self, document: str) -> bool:
        """Whether a document is getting vectors."""
        return self._vectoriser.works_at(document)

    async def vectors_settled(self, document: str, seconds: float) -> None:
        """Returns once nobody works at a document's vectors any more, but no later than in `seconds`."""
        await self._vectoriser.settled(document, seconds)

    async def vector_counts(self, document: str) -> tuple[int, int] | None:
        """How many vectors and how many chunks a document has; None where it is not held."""
        return await self.in_thread(self._vector_counts, document)

    def _vector_counts(self, document: str) -> tuple[int, int] | None:
        index = self._library.open(document)
        if index is None:
            return None
        try:
            return self._vectors.count(document), index.chunk_count()
        finally:
            index.close()

    async def forget(self, document: str) -> None:
        """Delete a document, also one that is still being sent; what is being written of it is written first."""
        arriving = list(self._intakes.get(document, {}).values())
        for task in arriving:
            task.cancel()
        if arriving:
            await asyncio.wait(arriving)
        try:
            await self.in_thread(self._library.forget, document)  # first: from now on nobody can begin with its vectors
        finally:  # a store that fails leaves nothing in the other one
            await self._vectoriser.stop(document)
            self._meaning.forget()
            await self.in_thread(self._vectors.forget, document)

    async def here(self, question: Question, need: Callable[[list[str]], Awaitable[None]]) -> None:
        """Returns once the documents that a question names are here; those not held are asked for with `need`.

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

    @contextmanager
    def answering(self, question: Question) -> Iterator[None]:
        """While a question is answered, the indexing of its documents that are still being sent makes way."""
        with ExitStack() as intakes:
            for document in question.documents:
                for intake in self._intakes.get(document, ()):
                    intakes.enter_context(intake.answering())
            yield

    @asynccontextmanager
    async def opened(self, question: Question) -> AsyncIterator[list[Asked]]:
        """The documents that a question names, for as long as something is read of them: each may be an open file.

        Raises `FrameError` where one has gone.
        """
        async with self._descriptors.taken(len(question.documents)):
            documents: list[Asked] = []
            try:
                for document in question.documents:
                    documents.append(await self._asked(document, question.names.get(document)))
                yield documents
            finally:
                opened = [document.index for document in documents if document.vectors is self._vectors]
                # Beside the event loop: a thread may still be reading for a question that was cancelled.
                await to_its_end(asyncio.get_running_loop().run_in_executor(self._closer, _close, opened))

    async def _missing(self, documents: Sequence[str]) -> list[str]:
        absent = [d for d in documents if d not in self._intakes]
        held = await self.in_thread(lambda: {d for d in absent if self._library.holds(d)}) if absent else set()
        return [d for d in absent if d not in held and d not in self._intakes]

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
        arriving = dict(self._intakes.get(document, {}))  # first: one that ends meanwhile is kept
        shown, index = await self.in_thread(
            lambda: (name or self._library.name(document), self._library.open(document))
        )
        if index is None and arriving:
            intake = max(arriving, key=lambda i: i.done)
            await intake.settled(SETTLE_S)
            if intake.whole and intake.chunks <= FEW_CHUNKS:
                await asyncio.wait((arriving[intake],), timeout=SETTLE_KEPT_S)
                index = await self.in_thread(self._library.open, document)
            if index is None and not arriving[intake].done():
                read = None if intake.whole else (intake.done, intake.total)
                return Asked(document, shown, intake.index, _NO_VECTORS_YET, read=read)
        if index is None:
            raise FrameError(f"{shown} was deleted, or is no longer being sent; send it and ask again.")
        return Asked(document, shown, index, self._vectors)

    async def attached(self, question: Question, conversation: Conversation) -> tuple[str, list[Asked]]:
        """A question out of its envelope, and the documents in it, or else those this conversation had before.

        Raises `FrameError` when those of before are no longer in memory.
        """
        message, documents = await self.in_thread(self._attachments.unwrap, question.message)
        if not documents:
            return message, self._attachments.asked(conversation)
        conversation.attached = tuple(Attached(one.id, one.name, one.paged) for one in documents)
        return message, documents

    async def unfinished(self, documents: Sequence[Asked]) -> list[tuple[Asked, int, int]]:
        """Those of the asked documents that lack many vectors, with the numbers of vectors and of chunks.

        All get the rest of them. One that lacks few is waited for a moment: its first answer is then as good as later.
        """
        if not self.dimension:
            return []
        missing = []
        for document in documents:
            if document.read is not None:  # its last pages are still to come
                continue
            done, total = await self.in_thread(_vector_counts, document)
            if done < total:
                missing.append(document)
                if document.vectors is _NO_VECTORS_YET:  # who keeps it goes on with it
                    continue
                self._complete(document)
                if total - done <= FEW_CHUNKS:
                    await self._vectoriser.settled(document.id, SETTLE_VECTORS_S)
        counts = [(document, *await self.in_thread(_vector_counts, document)) for document in missing]
        return [(document, done, total) for document, done, total in counts if total - done > FEW_CHUNKS]

    def _complete(self, document: Asked) -> None:
        if document.vectors is self._vectors:
            self._vectorise(document.id)
        else:
            opened = partial(self._attachments.open, document.id)
            self._vectoriser.start(document.id, opened, document.vectors, closes=False)

    async def standing_alone(self, message: str, previous: str, question: Question) -> tuple[str, str]:
        """What is asked in `question`, and the question before it, "" where a model could put it without that one."""
        if leans_on_another(message):
            whole = await self.speaker.standing_alone(message, _said(question), question.options)
            return (message, previous) if whole == message else (whole, "")
        return message, previous

    def expect(self, message: str) -> None:
        """Begins to think about a question whose documents are still being looked for."""
        question = message[:MAX_QUESTION]
        if is_latin(question) and not (leans_on_another(question) or is_overview(question)):
            self._meaning.expect(as_embedded(question), asyncio.get_running_loop())

    async def answer(self, message: str, documents: Sequence[Asked], previous: str) -> Answer:
        """The answer to `message` from these documents and in their own words; `previous` as in `standing_alone`."""
        embed = self._meaning.embed(asyncio.get_running_loop())
        return await self.in_thread(compose, message, documents, embed, previous)

    async def told(
        self, message: str, answer: Answer, documents: Sequence[Asked], question: Question
    ) -> AsyncGenerator[str, None]:
        """What is said of an answer, piece by piece: by a language model where there is one.

        Once this has returned, nothing more is read of the documents.
        """
        sections: list[Excerpt] = []
        if answer.is_overview and self.speaker.writes(answer, question.options):
            sections = await self.in_thread(_sections, documents)
        return self.speaker.say(message, answer, sections, _said(question), question.options)


def _said(question: Question) -> list[Message]:
    return [
        Message("user" if role == "user" else "assistant", content)
        for role, content in question.history
        if role in ("user", "assistant")
    ]


def _sections(documents: Sequence[Asked]) -> list[Excerpt]:
    """All pages of the documents that have text, in order."""
    return [
        Excerpt(document.name, page if document.paged else None, one_line(document.index.page_text(page)))
        for document in documents
        for page in document.index.page_numbers()
    ]


def _close(indices: Sequence[Index]) -> None:
    for index in indices:
        index.close()


def _vector_counts(document: Asked) -> tuple[int, int]:
    return document.vectors.count(document.id), document.index.chunk_count()


_NO_VECTORS_YET = VectorsInMemory()
"""Of documents that are still being sent."""
