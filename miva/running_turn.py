"""A turn while this process runs it: documents waited for, engine asked, every event logged under the turn's fence.

It runs in a task of its own that outlives the socket it was asked on. It stops without a word where another process
has taken the turn, and then that one goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum

from miva import history, library, question_files, turn_rows
from miva.engine_client import Link, open_link
from miva.engine_documents import TextDocument
from miva.engine_turn import THINKING_S, EngineBroke, EngineQuestion, EngineTurn, let_go
from miva.eventlog import AWAY, FencedOff, log
from miva.in_thread import in_thread
from miva.models import Document
from miva.outbox import Outbox
from miva.patiently import patiently
from miva.protocol.errors import Internal, MivaError, NotFound
from miva.protocol.events import Cancelled, Done, Event, Failed, Reply, Source
from miva.rendering import to_html
from miva.turn_facts import Facts, facts_of
from miva.turn_rows import Claim
from miva.turn_works import MOST_ATTEMPTS, AskAgain, End, LateReply

logger = logging.getLogger("miva.running_turn")


class Why(Enum):
    """Why a turn is stopped before its end."""

    CANCELLED = "its owner wants no answer any more"
    LOST = "it is not this process's any more"


class RunningTurn:
    """One turn that this process has claimed."""

    def __init__(
        self, claim: Claim, on_end: Callable[[RunningTurn, Claim | None], None], facts: Facts | None = None
    ) -> None:
        """`on_end` hears when the turn is over here, with what waited behind it and is now this process's.

        `facts` were read with the commit that claimed it; None has them read.
        """
        self.claim = claim
        self._on_end = on_end
        self._known = facts
        self._outbox = self._new_outbox()
        self._engine: EngineTurn | None = None
        self._events: AsyncGenerator[list[Event], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._why: Why | None = None
        self._asked_about: Mapping[str, tuple[str, str]] = {}
        """By content id, the asker's own id and name of each document of the question."""
        self._has_begun = False
        self._is_ending = False
        self.is_over = False
        """True when the end is stored, and the engine is only listened to."""

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._run(), name="turn")
        return self._task

    def stop(self, why: Why) -> bool:
        """Stops the answer; False where it is stopped already, or ending by itself at this moment."""
        if self._why is not None or self._is_ending or self._task is None:
            return False
        self._why = why
        if self._has_begun:  # a task that is cancelled before its first step would end without a word
            self._task.cancel()
        return True

    async def _run(self) -> None:
        stored: End | None = None
        try:
            end = await self._run_to_its_end()
            if end is not None:
                stored = await self._close(end)
        except (FencedOff, NotFound):
            logger.info("A turn was taken over by another process, or deleted")
        except Exception as why:  # the lease runs out, and whoever sees it first asks again
            logger.error("A turn was let go, and its end is not stored (%s)", why, exc_info=not isinstance(why, AWAY))
        finally:
            self.is_over = True
            self._on_end(self, stored.next if stored is not None else None)
        if self._events is None:
            return
        try:
            if stored is not None and stored.message_id is not None:
                await self._tell_late_replies(stored.message_id)
        finally:
            await self._events.aclose()

    async def _run_to_its_end(self) -> Done | Failed | Cancelled | None:
        """Asks and tells; returns the turn's end, None where it goes on in another process."""
        try:
            self._has_begun = True
            if self._why is not None:
                raise asyncio.CancelledError
            return await self._answer()
        except asyncio.CancelledError:
            if self._engine is not None:
                await self._engine.cancel()
            if self._why is not Why.CANCELLED:
                return None
            reading = question_files.of(self.claim.turn_id)
            if reading is not None:
                reading.stop()
            return Cancelled()
        except MivaError as why:
            return Failed(why)
        except FencedOff:
            return None
        except AWAY:  # for so long that an end could not be stored either
            raise
        except Exception:
            logger.exception("A turn failed")
            return Failed(Internal())
        finally:
            self._is_ending = True

    async def _answer(self) -> Done | Failed:
        question, opening = await self._question_and_link()
        while True:
            self._engine = EngineTurn(question, opening=opening)
            self._events = self._engine.events()
            end = await self._tell_until_the_end(self._events)
            may_ask_again = self.claim.is_numbered and self.claim.attempt < MOST_ATTEMPTS
            if not (isinstance(end, Failed) and isinstance(end.error, EngineBroke) and may_ask_again):
                return end
            await self._events.aclose()
            await self._begin_again()
            question, opening = self._question(await patiently(self._facts)), None

    async def _question_and_link(self) -> tuple[EngineQuestion, asyncio.Task[Link] | None]:
        """The question, once all that it is about was read, wherever that is done; and the engine's connection, which
        is made while the database is read."""
        known, self._known = self._known, None
        reading = question_files.of(self.claim.turn_id)
        if reading is not None:
            await reading.wait(self._outbox.add)
            known = None
        if known is not None and _are_ready(known):
            return self._question(known), None
        opening = asyncio.create_task(open_link(documents=True), name="opening")
        try:
            facts = await patiently(self._facts)
            if _are_ready(facts):
                return self._question(facts), opening
        except BaseException:
            await let_go(opening)
            raise
        await let_go(opening)
        awaited = facts.documents
        # One that could not be read was told of where it came; what is asked behind that is answered without it.
        may_fail = await patiently(lambda: in_thread(turn_rows.asked_about_before)(self.claim.turn_id))
        documents = await patiently(lambda: library.wait_until_read(awaited, may_fail))
        facts = await patiently(self._facts)  # its asker may have signed in meanwhile
        return self._question(replace(facts, documents=documents)), None

    async def _facts(self) -> Facts:
        return await in_thread(facts_of)(self.claim)

    def _question(self, facts: Facts) -> EngineQuestion:
        claim, documents = self.claim, facts.documents
        self._asked_about = {document.content_id: (str(document.pk), document.name) for document in documents[::-1]}
        return EngineQuestion(
            claim.message,
            list(dict.fromkeys(document.content_id for document in documents)),
            self._load,
            str(facts.owner_id),
            {id: name for id, (_, name) in self._asked_about.items()},
            sum(document.characters or 0 for document in documents),
            facts.recent,
            options=claim.options,
            thinking_after_s=THINKING_S if claim.is_numbered else 0.0,
            may_join=claim.is_numbered,
            is_repeated=claim.attempt > 1,
        )

    async def _load(self, content_ids: Sequence[str]) -> list[TextDocument]:
        owner_id = await patiently(lambda: in_thread(turn_rows.owner_of)(self.claim.turn_id))
        return await patiently(lambda: library.load_texts(owner_id, content_ids))

    async def _tell_until_the_end(self, events: AsyncGenerator[list[Event], None]) -> Done | Failed:
        outbox = self._outbox
        async for told in events:
            last = told[-1]
            if isinstance(last, Done | Failed):
                outbox.add(*told[:-1])
                return last
            outbox.add(*told)
            if outbox.is_full:
                await outbox.wait_for_room()
        raise AssertionError("an engine's events have an end")

    async def _begin_again(self) -> None:
        """The engine broke off: what it said so far is void, and it is asked again."""
        await self._outbox.close()
        work = AskAgain(self.claim)
        logging_it = asyncio.ensure_future(log.append(self.claim.conversation_id, work))
        try:
            await asyncio.shield(logging_it)
        finally:  # also where the turn is stopped at this moment: its end must stand under the new attempt then
            await asyncio.wait([logging_it])
            if logging_it.exception() is None:
                self.claim = work.claim
                logger.info("Turn %s: the engine broke off, attempt %d begins", self.claim.turn_id, self.claim.attempt)
                self._outbox = self._new_outbox()

    async def _close(self, end: Done | Failed | Cancelled) -> End:
        """Logs the turn's one end, which takes what waited behind it."""
        if isinstance(end, Done):  # meanwhile what came just before the end is logged, and shown without it
            answer = end
            end = await patiently(lambda: in_thread(_as_shown)(self.claim, answer, self._asked_about))
        before = await self._outbox.close()
        indexed = self._engine.indexed if self._engine is not None else {}
        work = End(self.claim, before, end, indexed)
        try:
            await log.append(self.claim.conversation_id, work)
        except (FencedOff, NotFound, *AWAY):
            raise
        except Exception:
            if not isinstance(end, Done):
                raise
            logger.exception("An answer could not be stored")
            work = End(self.claim, [], Failed(Internal()), indexed)
            await log.append(self.claim.conversation_id, work)
        return work

    async def _tell_late_replies(self, message_id: int) -> None:
        assert self._events is not None
        with contextlib.suppress(NotFound):  # the conversation was deleted
            async for told in self._events:
                for reply in told:
                    assert isinstance(reply, Reply)
                    await self._tell_late(message_id, reply)

    async def _tell_late(self, message_id: int, reply: Reply) -> None:
        try:
            await log.append(self.claim.conversation_id, LateReply(self.claim, message_id, reply))
        except AWAY as why:
            logger.error("What an engine said late could not be stored (%s)", why)

    def _new_outbox(self) -> Outbox:
        claim = self.claim
        return Outbox(claim.conversation_id, claim.fence, self._cannot_log, may_join=claim.is_numbered)

    def _cannot_log(self, why: BaseException) -> None:
        if not isinstance(why, FencedOff | NotFound):
            trace = None if isinstance(why, AWAY) else why
            logger.error("A turn's events could not be stored (%s); it will be asked again", why, exc_info=trace)
        self.stop(Why.LOST)


def _are_ready(facts: Facts) -> bool:
    return all(document.status == Document.Status.READY for document in facts.documents)


def _as_shown(claim: Claim, done: Done, asked_about: Mapping[str, tuple[str, str]]) -> Done:
    """An answer as clients see it, but for the id of the message that it becomes."""
    sources: list[Source] = []
    if done.sources:
        sources = history.named_sources(turn_rows.owner_of(claim.turn_id), done.sources, asked_about)
    text = history.storable(done.text)
    return replace(done, text=text, sources=tuple(sources), html=to_html(text, sources))
