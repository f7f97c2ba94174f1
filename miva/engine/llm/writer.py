"""Prose from what was found: models in turn, turns among the questions, each sentence checked before it is shown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from miva.engine.llm import prompt as prompts
from miva.engine.llm import summary
from miva.engine.llm.budget import Budget, TooLong
from miva.engine.llm.bundled import BundledModel
from miva.engine.llm.check import Context
from miva.engine.llm.config import Endpoint, LlmConfig
from miva.engine.llm.failures import ModelFailed
from miva.engine.llm.model import Model, checked, context, supported, whole
from miva.engine.llm.openai_client import Connections, OpenAiModel
from miva.engine.llm.task import Excerpt, Message, Prompt, Task
from miva.engine.text import one_line

REWRITE_S = 5.0
"""How long a follow-up question waits to be made one that stands alone."""
_REST_S = 30.0  # so long a model that failed is tried behind the others
_LONGEST_REWRITTEN = 400
_DIGESTS_SHARE = 2 / 3  # of the time up to a summary's first sentence; the rest is for the summary itself

logger = logging.getLogger("miva.engine.llm")


@dataclass
class _Seat:
    """A model, its bounds and the turns at it: questions wait in the order they came."""

    model: Model
    endpoint: Endpoint
    turns: asyncio.Semaphore
    rests_until: float = 0.0

    @property
    def budget(self) -> Budget:
        return Budget(self.endpoint.context_tokens)


_Matter: TypeAlias = tuple[Task, Sequence[Excerpt], str]
"""What a model is to do, what else it may speak of, and in words what was left out."""
_Gather: TypeAlias = Callable[[_Seat, float], Awaitable[_Matter]]
"""Finds that for a model, up to a moment of the event loop's clock."""


class Writer:
    """Writes answers with the models of `config`; one for the whole engine."""

    def __init__(self, config: LlmConfig) -> None:
        self._connections = Connections()
        self._bundled: list[BundledModel] = []
        self._seats = [self._seat(endpoint, config) for endpoint in config.models]
        self._silence_s = config.patience.silence_s

    def _seat(self, endpoint: Endpoint, config: LlmConfig) -> _Seat:
        model: Model
        if endpoint.kind == "bundled":
            model = BundledModel(endpoint, config.patience)
            self._bundled.append(model)
        else:
            model = OpenAiModel(endpoint, config.patience, self._connections)
        return _Seat(model, endpoint, asyncio.Semaphore(int(endpoint.at_once)))

    def models(self) -> list[str]:
        """The models' names in the order they are tried; one that is its endpoint's first once it has been asked."""
        return list(dict.fromkeys(seat.model.name for seat in self._seats if seat.model.name))

    async def warm(self) -> None:
        """Load the bundled model where one is configured, so that the first question need not wait for it."""
        for model in self._bundled:
            try:
                await model.warm()
            except ModelFailed as why:
                logger.warning("%s", why)

    async def close(self) -> None:
        """End the bundled model's process and close all connections."""
        for model in self._bundled:
            await model.close()
        await self._connections.close()

    def write(self, task: Task) -> AsyncGenerator[str, None]:
        """The answer to `task`, a checked sentence (with its white space) at a time, and at the end what did not fit.

        Raises `Lowered` where a sentence says what the passages do not (that sentence is not given out), `ModelFailed`
        where no model wrote the answer to its end, or none the next sentence in time; after the first sentence no other
        model is tried. Closing the iterator stops the model.
        """

        async def gather(_seat: _Seat, _until: float) -> _Matter:
            return task, (), ""

        return self._in_prose(task.model, gather)

    def summarise(self, task: Task) -> AsyncGenerator[str, None]:
        """As `write`, where `task.excerpts` are the sections of whole documents in reading order.

        What fits into one call is answered as a question is. Else each part gets a digest first (at most
        `summary.MAX_PARTS` calls, as many as there is time for; sentences that do not hold left out), and the answer is
        made from the digests.
        """

        async def gather(seat: _Seat, until: float) -> _Matter:
            now = asyncio.get_running_loop().time()
            plan = await asyncio.to_thread(summary.plan, task.excerpts, seat.budget, task.max_tokens)
            if len(plan.parts) <= 1:
                return task, (), ""
            digests = await self._digests(seat, task, plan, now + (until - now) * _DIGESTS_SHARE)
            written = [(plan.parts[number], text) for number, text in sorted(digests.items()) if text]
            if not written:
                raise ModelFailed(f"{seat.model.name} wrote nothing about the parts that stands in them.")
            excerpts = [summary.as_excerpt(part, text) for part, text in written]
            read = [excerpt for number in digests for excerpt in plan.parts[number]]
            return replace(task, excerpts=excerpts), read, plan.left_out(len(digests))

        return self._in_prose(task.model, gather)

    async def _digests(self, seat: _Seat, task: Task, plan: summary.Plan, until: float) -> dict[int, str]:
        """What was written about the parts, by their numbers. Raises TimeoutError where not even one was in time."""
        found: dict[int, str] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                for number in plan.order():
                    found[number] = await self._digest(seat, task, plan.parts[number])
        if not found:
            raise TimeoutError
        return found

    async def _digest(self, seat: _Seat, task: Task, part: Sequence[Excerpt]) -> str:
        asked = Task("Summarise these passages.", part, temperature=task.temperature, max_tokens=summary.DIGEST_TOKENS)
        prompt, _ = await asyncio.to_thread(prompts.digest, asked, seat.budget)
        async with seat.turns:
            written = await whole(seat.model, prompt)
        return await asyncio.to_thread(lambda: supported(written, context(task.question, (), part)))

    async def _in_prose(self, wanted: str, gather: _Gather) -> AsyncGenerator[str, None]:
        failures: list[ModelFailed] = []
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._silence_s
        seats = self._in_turn(wanted)
        for number, seat in enumerate(seats):
            so_far = ""
            # One that is silent leaves those behind it their share of the time.
            until = clock() + (deadline - clock()) / (len(seats) - number)
            try:
                async with aclosing(self._by(seat, gather, until)) as written:
                    async for sentence in written:
                        so_far += sentence
                        yield sentence
            except TooLong as why:
                failures.append(ModelFailed(f"{seat.model.name or 'The language model'} was not asked: {why}."))
                continue
            except ModelFailed as why:
                seat.rests_until = time.monotonic() + _REST_S
                logger.warning("%s", why.words)
                if so_far:
                    raise ModelFailed(why.words, so_far, why.told) from None
                failures.append(why)
                continue
            seat.rests_until = 0.0
            return
        told = " ".join(why.told for why in failures)
        raise ModelFailed(" ".join(why.words for why in failures), told=told)

    async def _by(self, seat: _Seat, gather: _Gather, until: float) -> AsyncGenerator[str, None]:
        """What one model writes, the first sentence up to that moment of the event loop's clock."""
        began = asyncio.get_running_loop().time()
        sentence = ""
        try:
            async with AsyncExitStack() as held:
                async with asyncio.timeout_at(until):
                    matter = await gather(seat, until)
                    await held.enter_async_context(seat.turns)  # before any thread, so that turns go by who came first
                    prompt, known, left_out = await asyncio.to_thread(_prepared, *matter, seat.budget)
                    written = await held.enter_async_context(aclosing(checked(seat.model, prompt, known)))
                    sentence = await anext(written, "")
                while sentence:
                    yield sentence
                    async with asyncio.timeout(self._silence_s):
                        sentence = await anext(written, "")
        except TimeoutError:
            name = seat.model.name or "The language model"
            if sentence:
                raise ModelFailed(f"{name} did not finish a sentence within {self._silence_s:g} seconds.") from None
            waited = f"within {round(until - began, 1):g} seconds, the wait for its turn included"
            raise ModelFailed(f"{name} did not begin to answer {waited}.") from None
        if left_out:
            yield f"\n\n({left_out})"

    async def rewrite(self, question: str, history: Sequence[Message]) -> str:
        """A follow-up question as one that stands alone; the question itself where that does not work in time."""
        seats = self._in_turn("")
        if not history or not seats:
            return question
        try:
            async with asyncio.timeout(REWRITE_S), seats[0].turns:
                prompt = await asyncio.to_thread(prompts.rewriting, question, history, seats[0].budget)
                written = one_line(await whole(seats[0].model, prompt)).strip('"“”')
        except (ModelFailed, TooLong, TimeoutError) as why:
            logger.info("A question was not rewritten: %s", why)
            return question
        known = await asyncio.to_thread(context, question, history, ())
        fits = 0 < len(written) <= len(question) + _LONGEST_REWRITTEN and not known.unsupported(written)
        return written if fits else question

    def _in_turn(self, wanted: str) -> list[_Seat]:
        """The wanted model first, those that failed just now last, else as configured."""
        now = time.monotonic()
        return sorted(self._seats, key=lambda seat: (not wanted or seat.model.name != wanted, seat.rests_until > now))


def _prepared(task: Task, among: Sequence[Excerpt], left_out: str, budget: Budget) -> tuple[Prompt, Context, str]:
    """The prompt, what the answer may say, and what was left out; of much text this takes long."""
    prompt, fitted = prompts.answer(task, budget)
    known = context(task.question, fitted.history, [*among, *fitted.excerpts])
    return prompt, known, " ".join(filter(None, [left_out, fitted.left_out]))
