"""What is said of an answer: a model's prose where there is one and it holds, else the documents' own words."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from miva.engine.answer import Answer
from miva.engine.frames import Options
from miva.engine.llm.config import BUNDLED, LlmConfig
from miva.engine.llm.failures import Lowered, ModelFailed
from miva.engine.llm.task import Excerpt, Message, Task
from miva.engine.llm.writer import Writer

logger = logging.getLogger("miva.engine")

EXTRACTIVE = "extractive"
"""The name under which the document's own words are asked for where there is a model."""
_BROKEN = "The language model could not be used for this; why is written in the engine's log."
_BELOW = "In a small model's words, to be checked against the quotes:"


class Speaker:
    """Says answers; `config` None where no language model is configured."""

    def __init__(self, config: LlmConfig | None) -> None:
        self._writer = Writer(config) if config is not None else None
        # A model as small as the bundled one invents: what it says never stands alone.
        self._quotes_first = config is not None and any(endpoint.kind == BUNDLED for endpoint in config.models)

    def models(self) -> list[str]:
        """What `Options.model` may be."""
        return [*(self._writer.models() if self._writer else []), EXTRACTIVE]

    async def warm(self) -> None:
        """Load what takes time to load."""
        if self._writer:
            await self._writer.warm()

    async def close(self) -> None:
        """End connections and processes."""
        if self._writer:
            await self._writer.close()

    async def standing_alone(self, question: str, history: Sequence[Message], options: Options) -> str:
        """A question that leans on those before it as one that does not, where a model can tell; else as it is."""
        if self._writer is None or options.model == EXTRACTIVE:
            return question
        try:
            return await self._writer.rewrite(question, history)
        except Exception as why:  # a question is never lost to what was only meant to help it
            logger.error("A question could not be rewritten: %s", _where(why))
            return question

    def writes(self, answer: Answer, options: Options) -> bool:
        """Whether a model is to be asked."""
        return self._writer is not None and bool(answer.excerpts) and options.model != EXTRACTIVE

    async def say(
        self, question: str, answer: Answer, sections: Sequence[Excerpt], history: Sequence[Message], options: Options
    ) -> AsyncGenerator[str, None]:
        """The text of an answer, in pieces; `sections` are all of the documents in order where they are summarised."""
        if self._writer is None or not self.writes(answer, options):
            yield answer.text
            return
        task = _task(question, sections or answer.excerpts, history, options)
        written = self._writer.summarise(task) if sections else self._writer.write(task)
        said = ""
        if self._quotes_first:
            yield answer.text
        try:
            async with aclosing(written) as sentences:
                async for sentence in sentences:
                    if self._quotes_first and not said:
                        yield f"\n\n{_BELOW} "
                    said += sentence
                    yield sentence
            return
        except Lowered as why:
            logger.info("A model's answer was lowered to quotes: %s", why.reason)
            trouble = why.reason
        except ModelFailed as why:
            trouble = why.told
        except Exception as why:  # the quotes stand whatever happens to the prose
            logger.error("An answer could not be written: %s", _where(why))
            trouble = _BROKEN
        if self._quotes_first:
            yield f" … ({trouble})" if said else f"\n\n({trouble})"
        elif said:
            yield f"\n\n{trouble} Here are the documents' own words. {answer.text}"
        else:
            yield f"{answer.text}\n\n({trouble})"


def _task(question: str, excerpts: Sequence[Excerpt], history: Sequence[Message], options: Options) -> Task:
    task = Task(question, excerpts, history, model=options.model)
    if options.temperature is not None:
        task = replace(task, temperature=options.temperature)
    return task if options.length is None else replace(task, max_tokens=options.length)


def _where(why: Exception) -> str:
    """What went wrong and where, on one line; not its message, which may hold what a user wrote."""
    frames = traceback.extract_tb(why.__traceback__)
    return f"{type(why).__name__} in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"
