"""What is asked of the product in one run: each question of its file alone and of all files, and those to refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath

from benchmarks.bench import Bench
from benchmarks.evaluation.door import Door, knock
from benchmarks.evaluation.product import Running, Stopwatch, product
from benchmarks.evaluation.prompts import passages, recorder
from benchmarks.evaluation.questions import EvaluationSet, Question, off_document
from benchmarks.evaluation.scoring import Said, Source, quote_problem
from miva.sample_pdf import GOLD, QUESTION, sample_pdf

OFF_DOCUMENT, QUICK_OFF_DOCUMENT, SEED = 200, 40, 20
INDEXED_S = 1800.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what was said to it."""

    question: Question
    said: Said


@dataclass(frozen=True, slots=True)
class Phase:
    """Questions of one kind, asked one after the other; `cpu_s` is the processor time of one of them (the mean)."""

    asked: tuple[Asked, ...]
    cpu_s: float

    @property
    def first_s(self) -> list[float]:
        return [one.said.first_s for one in self.asked]

    @property
    def done_s(self) -> list[float]:
        return [one.said.done_s for one in self.asked]


@dataclass(frozen=True, slots=True)
class Taken:
    """How the set's files were taken in: seconds on the clock, and processor seconds until all was indexed."""

    first_answer_s: float
    indexed_s: float
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"first answer after {self.first_answer_s:.2f} s, all indexed after {self.indexed_s:.1f} s and "
            f"{self.cpu_s:.1f} CPU-s"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that was said. `false_quotes` says of each source what is wrong with it; `peak` is bytes of memory."""

    taken: Taken
    one: Phase
    store: Phase
    off: Phase
    near: Phase
    false_quotes: tuple[str, ...]
    sources: int
    peak: int


async def ask_everything(
    bench: Bench, running: Running, whole: EvaluationSet, texts: Mapping[str, Sequence[str]]
) -> Outcome:
    """Sends the files, waits until they are indexed, asks; `texts` are the pages' texts of each file.

    Raises RuntimeError where a file is not taken or a question comes to nothing.
    """
    async with knock(running.url) as door:
        await warm_up(door)
        taken, documents = await _send_all(door, running, whole)
        bench.say(f"  {len(documents)} files: {taken}")
        everything = {id: file for file, id in documents.items()}
        pairs = off_document(whole, QUICK_OFF_DOCUMENT if bench.quick else OFF_DOCUMENT, SEED)

        async def phase(name: str, asked: Sequence[tuple[Question, Mapping[str, str]]]) -> Phase:
            watch = Stopwatch(running)
            told = [Asked(question, await door.ask(question.question, files)) for question, files in asked]
            bench.say(f"  {name}: {len(told)} questions")
            return Phase(tuple(told), watch.cpu_s() / max(1, len(told)))

        def alone(file: str) -> Mapping[str, str]:
            return {documents[file]: file}

        one = await phase("one document", [(asked, alone(asked.file)) for asked in whole.answerable])
        store = await phase("all documents", [(asked, everything) for asked in whole.answerable])
        off = await phase("off the document", [(asked, alone(file)) for asked, file in pairs])
        near = await phase("near misses", [(asked, alone(asked.file)) for asked in whole.near_misses])
    said = [asked.said for part in (one, store, off, near) for asked in part.asked]
    running.look()
    sources = [source for answer in said for source in answer.sources]
    problems = tuple(filter(None, (_problem(source, texts) for source in sources)))
    return Outcome(taken, one, store, off, near, problems, len(sources), running.peak)


async def contexts(bench: Bench, database: str, whole: EvaluationSet) -> list[str]:
    """What a model would be given for each answerable question to all files; nothing where no model is asked.

    The product is started once more with a model endpoint that writes down what it is asked.
    """
    async with recorder() as endpoint:
        with ExitStack() as stack:
            # In a thread, so that the endpoint answers what the product asks while it starts.
            running = await asyncio.to_thread(stack.enter_context, product(bench, database, endpoint.settings))
            async with knock(running.url) as door:
                await warm_up(door, says="")  # the endpoint's words are its own
                _, documents = await _send_all(door, running, whole)
                everything = {id: file for file, id in documents.items()}
                given = []
                for question in whole.answerable:
                    endpoint.take()
                    await door.ask(question.question, everything)
                    texts = [passages(messages, question.question) for messages in endpoint.take()]
                    given.append(max(texts, key=len, default=""))
    return given if any(given) else []


async def warm_up(door: Door, says: str = GOLD) -> None:
    """Asks about a small file, as the first user of a day would. Raises RuntimeError where that is not answered."""
    upload = await door.send_file("lighthouse.pdf", sample_pdf(2000))
    said = await door.ask(QUESTION, {upload.document: upload.name})
    if says not in said.text:
        raise RuntimeError(f"The answer about a small file does not say {says}: {said.text[:500]}")
    await door.all_indexed([upload], INDEXED_S)


async def _send_all(door: Door, running: Running, whole: EvaluationSet) -> tuple[Taken, dict[str, str]]:
    """All files one behind the other, the first asked about at once; the documents' ids by file."""
    watch = Stopwatch(running)
    uploads, first_answer_s = {}, 0.0
    question = whole.answerable[0]
    for file in sorted(whole.files, key=lambda file: file != question.file):
        data = (whole.folder / file).read_bytes()
        uploads[file] = await door.send_file(PurePath(file).name, data)
        if not first_answer_s:
            await door.ask(question.question, {uploads[file].document: file})
            first_answer_s = watch.seconds()
    ended = await door.all_indexed(list(uploads.values()), INDEXED_S)
    # What the quiet afterwards costs is not taken off: it is next to nothing.
    taken = Taken(first_answer_s, ended - watch.began, watch.cpu_s())
    return taken, {file: upload.document for file, upload in uploads.items()}


def _problem(source: Source, texts: Mapping[str, Sequence[str]]) -> str:
    if source.file not in texts:
        return f"{source.file} was not asked about"
    why = quote_problem(source, texts[source.file])
    return why and f"{source.file}: {why}: {source.quote[:120]}"
