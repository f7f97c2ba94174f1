"""What all kinds of models have in common, and what is done with what they write."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol

from miva.engine.llm.check import Context
from miva.engine.llm.failures import Lowered
from miva.engine.llm.prompt import MARKS
from miva.engine.llm.sentences import is_whole, sentences, split
from miva.engine.llm.task import Ending, Excerpt, Message, Prompt


class Model(Protocol):
    """Something that writes."""

    @property
    def name(self) -> str:
        """As the user knows it; "" while it is not known."""

    def write(self, prompt: Prompt, ending: Ending) -> AsyncGenerator[str, None]:
        """The answer in pieces as they come; closing the iterator stops the model. Raises `ModelFailed`."""


async def whole(model: Model, prompt: Prompt) -> str:
    """All that a model writes. Raises `ModelFailed`."""
    async with aclosing(model.write(prompt, Ending())) as pieces:
        return "".join([piece async for piece in pieces])


def context(question: str, history: Sequence[Message], excerpts: Sequence[Excerpt]) -> Context:
    """What an answer may take its numbers, names and pages from."""
    texts = [question, *(message.content for message in history)]
    texts += [text for excerpt in excerpts for text in (excerpt.document, excerpt.text)]
    pages = [excerpt.page for excerpt in excerpts if excerpt.page is not None]
    return Context("\n".join(texts), pages, len(excerpts))


async def checked(model: Model, prompt: Prompt, known: Context) -> AsyncGenerator[str, None]:
    """What a model writes, a sentence at a time; where the bound on tokens cut it, that is said at the end.

    Raises `Lowered` for the first sentence that does not hold, and `ModelFailed`.
    """
    ending = Ending()
    so_far = ""
    async with aclosing(model.write(prompt, ending)) as pieces:
        async for sentence in sentences(_led(pieces)):
            if ending.cut and not is_whole(sentence):  # it may end in the middle of a word
                break
            if reason := _doubt(sentence, known):
                raise Lowered(reason, so_far)
            so_far += sentence
            yield sentence
    if ending.cut:
        gap = " " if so_far[-1:].strip() else ""
        yield f"{gap}… (The answer was cut: {prompt.max_tokens} tokens is the longest it may be.)"


def supported(text: str, known: Context) -> str:
    """The sentences of `text` that hold."""
    return "".join(sentence for sentence in split(text) if not _doubt(sentence, known)).strip()


def _doubt(sentence: str, known: Context) -> str:
    """Why a sentence does not hold; "" where it does."""
    if any(mark in sentence for mark in MARKS):
        return "The model copied the marks between the passages instead of answering."
    unknown = known.unsupported(sentence)
    shown = ", ".join(f"“{each}”" for each in unknown[:3])
    return f"The model wrote {shown}, which the passages do not say." if unknown else ""


async def _led(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Without white space at the head."""
    began = False
    async for piece in pieces:
        text = piece if began else piece.lstrip()
        began = began or bool(text)
        if text:
            yield text
