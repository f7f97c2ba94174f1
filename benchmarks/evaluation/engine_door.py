"""How soon the engine itself answers about a file that is still on its way to it.

"An engine may be asked while it indexes: it answers from what it has" (contract, section 4). The relay does not ask so
early: there a question waits until its document is read (3.3), so this is asked at the engine's own socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pypdfium2
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.typing import Subprotocol

from benchmarks.evaluation import scoring
from benchmarks.evaluation.asking import INDEXED_S
from benchmarks.evaluation.door import ANSWER_S
from benchmarks.evaluation.long_document import LongDocument

TRIES = 4
"""With each document, of which only the last one waits until all of it is indexed."""
_REST_S = 1.0
"""Between two tries, for what the engine still does of the one before."""
_EARLY = 1
"""The page that is asked about as soon as it has been sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Seconds from the moment at which the file begins to be read and sent: to the first right answer (the median of
    some times), and until all of it is indexed, vectors included. `sent` is the median of the pages that were sent when
    the answer came."""

    pages: int
    first_answer_s: float
    sent: float
    indexed_s: float


@dataclass(slots=True)
class _Line:
    """A connection: what the engine says on it about documents, and about questions."""

    socket: ClientConnection
    indexed_at: float = 0.0
    is_ready: bool = False
    sent: int = 0
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    is_indexed: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def say(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def listen(self) -> None:
        """Raises RuntimeError where the engine tells of a mistake."""
        async for raw in self.socket:
            match json.loads(raw):
                case {"type": "indexed"}:
                    self.is_ready = True
                case {"type": "progress", "done": done, "total": total} if self.is_ready and done >= total:
                    self.indexed_at = time.perf_counter()
                    self.is_indexed.set()
                case {"type": "done", "response": response}:
                    self.answers.put_nowait(response)
                case {"type": "error", "message": why}:
                    raise RuntimeError(f"The engine did not take a frame: {why}")


async def ask_while_sending(engine: Path, documents: Sequence[LongDocument]) -> Sent:
    """Reads each document page by page, sends each page at once, and asks about the first one while the others follow.

    `documents` are of the same length, `engine` is the Unix socket of a running engine, which has forgotten them when
    this returns. Raises RuntimeError, and TimeoutError where no right answer comes.
    """
    tries = []
    for document in documents:
        for number in range(1, TRIES + 1):
            await asyncio.sleep(_REST_S)
            tries.append(await _try(engine, document, is_last=number == TRIES))
    return Sent(
        documents[0].pages,
        statistics.median(one.first_answer_s for one in tries),
        statistics.median(one.sent for one in tries),
        statistics.median(one.indexed_s for one in tries if one.indexed_s),
    )


@dataclass(frozen=True, slots=True)
class _Try:
    first_answer_s: float
    sent: int
    indexed_s: float
    """0 where that was not waited for."""


async def _try(engine: Path, document: LongDocument, *, is_last: bool) -> _Try:
    opening = unix_connect(
        str(engine), "ws://localhost/", subprotocols=[Subprotocol("miva.engine.v1")], max_size=None, compression=None
    )
    async with opening as socket:
        line = _Line(socket)
        id = hashlib.sha256(document.pdf).hexdigest()
        async with asyncio.TaskGroup() as beside:
            listening = beside.create_task(line.listen())
            began = time.perf_counter()
            sending = beside.create_task(_send(line, id, document))
            async with asyncio.timeout(ANSWER_S):
                await line.has_begun.wait()
                await _ask_until_told(line, id, document)
            first_answer_s, sent = time.perf_counter() - began, line.sent
            await sending
            if is_last:
                async with asyncio.timeout(INDEXED_S):
                    await line.is_indexed.wait()
            listening.cancel()
        await line.say(type="forget", id=id)
        await line.say(message="Hello", type="chat", unique_id="after")  # answered when it is forgotten
        while json.loads(await socket.recv())["type"] != "chat":
            pass
        return _Try(first_answer_s, sent, line.indexed_at - began if is_last else 0.0)


async def _send(line: _Line, id: str, document: LongDocument) -> None:
    await line.say(type="document", id=id, name="register.pdf", pages=document.pages, owner="evaluation")
    texts = _page_texts(document.pdf)
    while (text := await asyncio.to_thread(next, texts, None)) is not None:
        line.sent += 1
        await line.say(type="page", id=id, page=line.sent, text=text)
        line.has_begun.set()
    await line.say(type="document_end", id=id)


def _page_texts(pdf: bytes) -> Iterator[str]:
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            yield page.get_textpage().get_text_range()


async def _ask_until_told(line: _Line, id: str, document: LongDocument) -> None:
    while True:
        await line.say(message=document.question(_EARLY), type="chat", unique_id="early", stream=True, documents=[id])
        if scoring.contains_words(await line.answers.get(), [document.answer(_EARLY)]):
            return
        await asyncio.sleep(0.02)
