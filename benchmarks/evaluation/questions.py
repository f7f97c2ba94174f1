"""The evaluation set: a folder of PDFs and `questions.jsonl`, whose format its own README tells."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `pages` (from 1) are those of the evidence in `file`, a path below the set's folder.

    Any of `answers` is right. An unanswerable one has neither pages nor answers.
    """

    id: str
    file: str
    question: str
    pages: tuple[int, ...] = ()
    answers: tuple[str, ...] = ()
    unanswerable: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The files, all of which make the store, and the questions about some of them."""

    folder: Path
    files: tuple[str, ...]
    questions: tuple[Question, ...]

    @property
    def answerable(self) -> list[Question]:
        return [question for question in self.questions if not question.unanswerable]

    @property
    def near_misses(self) -> list[Question]:
        """Questions that sound as if their file answered them, and it does not."""
        return [question for question in self.questions if question.unanswerable]


def load(folder: Path) -> EvaluationSet:
    """The set in a folder. Raises ValueError, with words, where it is none."""
    listed = folder / "questions.jsonl"
    if not listed.is_file():
        raise ValueError(f"{folder} holds no evaluation set: there is no questions.jsonl in it.")
    files = tuple(path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.pdf")))
    questions = tuple(_question(line, number) for number, line in enumerate(listed.read_text().splitlines(), 1) if line)
    missing = sorted({question.file for question in questions} - set(files))
    if missing:
        raise ValueError(f"{listed} asks about files that are not there: {', '.join(missing)}")
    if not any(not question.unanswerable for question in questions):
        raise ValueError(f"{listed} has no question that can be answered.")
    return EvaluationSet(folder, files, questions)


def sample(whole: EvaluationSet, step: int) -> EvaluationSet:
    """Every so-manieth question of each kind, over all of the files."""
    return EvaluationSet(whole.folder, whole.files, (*whole.answerable[::step], *whole.near_misses[::step]))


def off_document(whole: EvaluationSet, count: int, seed: int) -> list[tuple[Question, str]]:
    """So many answerable questions (fewer where there are fewer), each with a file that is about something else.

    The same for the same seed; nothing where there is one file only.
    """
    chance = random.Random(seed)
    asked = whole.answerable
    chosen = chance.sample(asked, min(count, len(asked)))
    return [(question, chance.choice(others)) for question in chosen if (others := _others(whole.files, question))]


def _others(files: Sequence[str], question: Question) -> list[str]:
    return [file for file in files if file != question.file]


def _question(line: str, number: int) -> Question:
    try:
        told = json.loads(line)
        pages = tuple(int(page) for page in told["pages"]) or tuple(filter(None, (told.get("page"),)))
        found = Question(
            str(told["id"]), told["file"], told["question"], pages, tuple(told["answers"]), bool(told["unanswerable"])
        )
    except (ValueError, KeyError, TypeError) as why:
        raise ValueError(f"Line {number} of questions.jsonl is no question: {why!r}") from why
    if not found.unanswerable and not (found.pages and found.answers):
        raise ValueError(f"Line {number} of questions.jsonl can be answered, but has no page or no answer.")
    return found
