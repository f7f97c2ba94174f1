"""Prose from what was found: models in turn, turns among the questions, each sentence checked before it is shown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
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


_Prepared: TypeAlias = tuple[Prompt, Context, str]
"""What a model is sent, what it may say, and what was left out."""


class Writer:
    """Writes answers with the models of `config`; one for the whole engine."""

    def __init__(self, config: LlmConfig) -> None:
        self._connections = Connections()
        self._bundled: list[BundledModel] = []
        self._seats = [self._seat(endpoint, config) for endpoint in config.models]

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
        where no model wrote the answer to its end; after the first sentence no other model is tried. Closing the
        iterator stops the model.
        """

        async def prepare(seat: _Seat) -> _Prepared:
            prompt, fitted = prompts.answer(task, seat.budget)
            return prompt, context(task.question, fitted.history, fitted.excerpts), fitted.left_out

        return self._in_prose(task.model, prepare)

    def summarise(self, task: Task) -> AsyncGenerator[str, None]:
        """As `write`, where `task.excerpts` are the sections of whole documents in reading order.

        What fits into one call is answered as a question is. Else each part gets a digest first (at most
        `summary.MAX_PARTS` calls, sentences that do not hold left out), and the answer is made from the digests.
        """

        async def prepare(seat: _Seat) -> _Prepared:
            plan = summary.plan(task.excerpts, seat.budget, task.max_tokens)
            excerpts: Sequence[Excerpt] = task.excerpts
            if len(plan.parts) > 1:
                digests = [await self._digest(seat, task, part) for part in plan.parts]
                excerpts = [
                    summary.as_excerpt(part, text) for part, text in zip(plan.parts, digests, strict=True) if text
                ]
                if not excerpts:
                    raise ModelFailed(f"{seat.model.name} wrote nothing about the parts that stands in them.")
            prompt, fitted = prompts.answer(replace(task, excerpts=excerpts), seat.budget)
            known = context(task.question, fitted.history, [*task.excerpts, *fitted.excerpts])
            return prompt, known, " ".join(filter(None, [plan.left_out, fitted.left_out]))

        return self._in_prose(task.model, prepare)

    async def _digest(self, seat: _Seat, task: Task, part: Sequence[Excerpt]) -> str:
        asked = Task("Summarise these passages.", part, temperature=task.temperature, max_tokens=summary.DIGEST_TOKENS)
        prompt, _ = prompts.digest(asked, seat.budget)
        async with seat.turns:
            return supported(await whole(seat.model, prompt), context(task.question, (), part))

    async def _in_prose(
        self, wanted: str, prepare: Callable[[_Seat], Awaitable[_Prepared]]
    ) -> AsyncGenerator[str, None]:
        failures: list[str] = []
        for seat in self._in_turn(wanted):
            so_far = ""
            try:
                prompt, known, left_out = await prepare(seat)
                async with seat.turns, aclosing(checked(seat.model, prompt, known)) as written:
                    async for sentence in written:
                        so_far += sentence
                        yield sentence
            except TooLong as why:
                failures.append(f"{seat.model.name or 'The language model'} was not asked: {why}.")
                continue
            except ModelFailed as why:
                seat.rests_until = time.monotonic() + _REST_S
                logger.warning("%s", why.words)
                if so_far:
                    raise ModelFailed(why.words, so_far) from None
                failures.append(why.words)
                continue
            seat.rests_until = 0.0
            if left_out:
                yield f"\n\n({left_out})"
            return
        raise ModelFailed(" ".join(failures))

    async def rewrite(self, question: str, history: Sequence[Message]) -> str:
        """A follow-up question as one that stands alone; the question itself where that does not work in time."""
        seats = self._in_turn("")
        if not history or not seats:
            return question
        try:
            async with asyncio.timeout(REWRITE_S), seats[0].turns:
                prompt = prompts.rewriting(question, history, seats[0].budget)
                written = one_line(await whole(seats[0].model, prompt)).strip('"“”')
        except (ModelFailed, TooLong, TimeoutError) as why:
            logger.info("A question was not rewritten: %s", why)
            return question
        known = context(question, history, ())
        fits = 0 < len(written) <= len(question) + _LONGEST_REWRITTEN and not known.unsupported(written)
        return written if fits else question

    def _in_turn(self, wanted: str) -> list[_Seat]:
        """The wanted model first, those that failed just now last, else as configured."""
        now = time.monotonic()
        return sorted(self._seats, key=lambda seat: (not wanted or seat.model.name != wanted, seat.rests_until > now))
