"""What an engine's author wants to know: how the relay reads that engine's frames, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from miva.engine_client import Address, Breaker, Link, greeted, open_at
from miva.engine_documents import TextDocument
from miva.engine_turn import EngineQuestion, EngineTurn
from miva.protocol import engine, plain
from miva.protocol.envelope import WrappedFile, wrap
from miva.protocol.errors import EngineFailed
from miva.protocol.events import Delta, Done, Failed, Progress, Reply, Sources, Thinking

_TEXT = "The lighthouse of Ouistreham was lit for the first time in 1905."
_QUESTION = "When was the lighthouse first lit?"
_QUIET_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    is_fine: bool
    words: str


async def check(url: str) -> list[Finding]:
    """Connects, asks as each dialect does, and tells in words what came back. Never raises for what an engine does."""
    address = Address(url, None, Breaker())
    try:
        link = await open_at(address, documents=True)
    except (OSError, ValueError) as why:
        return [Finding(False, f"It cannot be connected to within {settings.MIVA_ENGINE_CONNECT_S:g} s: {why}")]
    findings = [Finding(True, "It takes the connection.")]
    try:
        if link.keeps_documents:
            hello = await greeted(link)
            findings.append(
                Finding(True, f"It selects miva.engine.v1 and keeps documents; it calls itself “{hello.name}”.")
            )
        else:
            findings.append(Finding(True, "It does not select miva.engine.v1: documents will travel inside questions."))
    except EngineFailed as why:
        findings.append(Finding(False, f"It selects miva.engine.v1, but: {why.message}"))
    finally:
        await link.close()
    findings += await _ask_plainly(address)
    findings += await _ask_typed(address)
    return findings


async def _ask_plainly(address: Address) -> list[Finding]:
    envelope = wrap(_QUESTION, [WrappedFile("lighthouse.pdf", pages=(_TEXT,))])
    try:
        link = await open_at(address, documents=False)
    except (OSError, ValueError) as why:
        return [Finding(False, f"Plain question: a second connection is not taken: {why}")]
    try:
        if link.keeps_documents:
            await greeted(link)
        await link.send(plain.engine_question(envelope, "engine-check"))
        frames = [await link.receive_within(settings.MIVA_ENGINE_TIMEOUT_S)]
        frames += await _until_quiet(link)
        return [
            Finding(True, f"Plain question: frame {number} {_read(frame)}") for number, frame in enumerate(frames, 1)
        ]
    except EngineFailed as why:
        return [Finding(False, f"Plain question: {why.message}")]
    finally:
        await link.close()


async def _until_quiet(link: Link) -> list[str]:
    frames: list[str] = []
    try:
        while len(frames) < 50:
            frames.append(await link.receive_within(_QUIET_S))
    except EngineFailed:
        pass  # quiet, or a close behind a frame: either ends an answer
    return frames


async def _ask_typed(address: Address) -> list[Finding]:
    async def load(_: Sequence[str]) -> list[TextDocument]:
        return [TextDocument("0" * 64, "lighthouse.pdf", (_TEXT,), is_paged=True)]

    turn = EngineTurn(EngineQuestion(_QUESTION, ["0" * 64], load, "engine-check"), at=address)
    findings: list[Finding] = []
    async for told in turn.events():
        for event in told:
            match event:
                case Done(text, sources):
                    end = f"Streamed question: the turn ends with {_short(text)}, {len(sources)} sources."
                    return [*findings, Finding(bool(text), end)]
                case Failed(error):
                    words = f"Streamed question: the turn fails with {error.code}: {error.message}"
                    findings.append(Finding(False, words))
                case Reply(text=text):
                    words = f"Streamed question: an untyped frame, a whole reply: {_short(text)}"
                    findings.append(Finding(True, words))
    return findings


def _read(frame: str) -> str:
    match engine.read(frame):
        case Delta(text):
            return f"is a piece of the answer: {_short(text)}"
        case Done(text, sources):
            return f"is the end of the answer: {_short(text)}, {len(sources)} sources."
        case Failed(error):
            return f"is an error: {_short(error.message)}"
        case Thinking():
            return "says that it is thinking."
        case Progress() | Sources():
            return "tells progress or sources."
        case Reply(text=text):
            return f"is untyped, a whole reply: {_short(text)}"
        case _:
            return "belongs to miva.engine.v1, and stands in an answer where it should not."


def _short(text: str) -> str:
    return f"“{text[:77]}…”" if len(text) > 78 else f"“{text}”"
