"""What fits into a model's context window, and in words what does not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from miva.engine.llm.sentences import split
from miva.engine.llm.task import Excerpt, Message

MESSAGE_TOKENS = 8
"""What a chat template puts around one message."""
EXCERPT_TOKENS = 40
"""The delimiters around one passage, without its document's name."""
_HISTORY_SHARE = 4  # history gets at most one in so many of the free tokens while passages want them
_NUMBER = re.compile(r"[0-9]+")
_LONG_WORD = re.compile(r"[A-Za-z]{7,}")
_PIECE = re.compile(r"[A-Za-z]{1,4}|[\x00-\x1f!-\x7f]")


class TooLong(Exception):
    """The question alone does not fit; the text says so."""


def safe_tokens(text: str) -> int:
    """An estimate that is rather too high than too low, for any usual tokenizer; never none for some text.

    Four Latin letters, a digit or a sign count one, a long word and a number something more; other scripts by their
    bytes, because tokenizers that do not know a sign spell it in bytes. Measured against SmolLM2's tokenizer, which has
    a small vocabulary: 1.6 times its count for English, 1.0 to 1.2 for German, Russian, Arabic, Chinese and numbers.
    """
    count = len(_PIECE.findall(text)) + len(_NUMBER.findall(text))
    count += sum(len(word) // 7 for word in _LONG_WORD.findall(text))
    if not text.isascii():
        count += sum((len(char.encode(errors="replace")) + 1) // 2 for char in text if ord(char) > 127)
    return max(count, 1) if text else 0


@dataclass(frozen=True)
class Fitted:
    """What goes in: passages best first, messages oldest first, how many tokens at most the answer may have; and in
    whole sentences what was left out ("" where nothing was)."""

    excerpts: tuple[Excerpt, ...]
    history: tuple[Message, ...]
    answer_tokens: int
    left_out: str


@dataclass(frozen=True)
class Budget:
    """A context window of so many tokens, counted by `count`."""

    context_tokens: int
    count: Callable[[str], int] = safe_tokens

    def fit(
        self, fixed: Sequence[str], excerpts: Sequence[Excerpt], history: Sequence[Message], reserve: int
    ) -> Fitted:
        """Choose among `excerpts` (best first) and `history` (oldest first) beside the `fixed` texts.

        `reserve` tokens are kept for the answer, or half the window where that is less. A passage is whole or left out;
        only where none fits, not even without history, is the best one cut, behind a sentence. History goes back
        without a hole. Raises `TooLong` where the fixed texts leave no room for a passage or, without passages, do not
        fit.
        """
        answer = min(reserve, self.context_tokens // 2)
        free = self.context_tokens - answer - sum(self.count(text) + MESSAGE_TOKENS for text in fixed)
        if free < 0:
            raise TooLong("the question is too long for it")
        recent, spent = self._recent(history, free // _HISTORY_SHARE if excerpts else free, 0)
        chosen, used = self._whole(excerpts, free - spent)
        notes = []
        if excerpts and not chosen and recent:  # without a passage there is nothing to say
            recent = 0
            chosen, used = self._whole(excerpts, free)
        if excerpts and not chosen:
            cut, note = self._cut(excerpts[0], free)
            chosen, used, notes = [cut], free, [note]
        missing = len(excerpts) - len(chosen)
        recent, _ = self._recent(history, free - used, recent)
        return Fitted(
            tuple(chosen),
            tuple(history[len(history) - recent :]),
            answer,
            _words(missing, len(excerpts), len(history) - recent, notes),
        )

    def _recent(self, history: Sequence[Message], room: int, at_least: int) -> tuple[int, int]:
        """How many of the newest messages fit, and their tokens; the first `at_least` are known to fit."""
        used = number = 0
        for message in reversed(history):
            size = self.count(message.content) + MESSAGE_TOKENS
            if number >= at_least and used + size > room:
                break
            used += size
            number += 1
        return number, used

    def size(self, excerpt: Excerpt) -> int:
        """The tokens of a passage with what stands around it."""
        return self.count(excerpt.text) + self.count(excerpt.document) + EXCERPT_TOKENS

    def _whole(self, excerpts: Sequence[Excerpt], room: int) -> tuple[list[Excerpt], int]:
        chosen: list[Excerpt] = []
        used = 0
        for excerpt in excerpts:
            size = self.size(excerpt)
            if used + size <= room:
                chosen.append(excerpt)
                used += size
        return chosen, used

    def _cut(self, excerpt: Excerpt, room: int) -> tuple[Excerpt, str]:
        """The beginning of a passage that fits as whole sentences (as words where the first is too long)."""
        room -= self.size(replace(excerpt, text=""))
        for parts in (split(excerpt.text), re.findall(r"\S+\s*|\s+", excerpt.text), list(excerpt.text)):
            kept = self._beginning(parts, room)
            if kept.strip():
                page = f"page {excerpt.page}" if excerpt.page is not None else excerpt.document
                note = f"Only the first {len(kept)} of {len(excerpt.text)} characters of the passage on {page} did fit."
                return replace(excerpt, text=kept), note
        raise TooLong("the question leaves no room for a passage in it")

    def _beginning(self, parts: Sequence[str], room: int) -> str:
        kept = ""
        used = 0
        for part in parts:
            used += self.count(part)
            if used > room:
                break
            kept += part
        return kept


def _words(excerpts: int, of: int, messages: int, notes: Sequence[str]) -> str:
    parts = []
    if excerpts:
        parts.append(f"{excerpts} of {of} passages")
    if messages:
        parts.append(f"{messages} earlier message{'s' if messages > 1 else ''}")
    said = [f"{' and '.join(parts)} did not fit."] if parts else []
    return " ".join([*said, *notes])
