"""How long a store takes to be filled with many chunks, and what a question to it costs then."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.bench import Bench
from benchmarks.evaluation import chunking, scoring
from benchmarks.evaluation.minilm import DIMENSION, MiniLM, Vectors
from benchmarks.evaluation.stores import Opener, Store
from benchmarks.figures import Figure, Goal, number
from benchmarks.processes import tree_cpu_seconds
from miva.engine.vectors import use_one_thread

CHUNKS, QUICK_CHUNKS = 100_000, 5_000
WORDS_A_CHUNK = 85
"""About 110 tokens: what sentences to 128 tokens come to."""
QUERIES, SEED = 50, 9
WARMING_UP = 3
"""So many times as many questions come before those that are measured: PostgreSQL's cache fills slowly."""
_ASIDE = 0.3
"""The length of what chance adds to a vector of length 1."""
GOAL = Goal(15)


@dataclass(frozen=True, slots=True)
class Load:
    """Chunks with their vectors, and questions with theirs, each of which is about the chunk of this number."""

    texts: list[str]
    vectors: Vectors
    questions: list[tuple[str, Vectors, int]]


def synthetic(texts: Mapping[str, Sequence[str]], model: MiniLM, chunks: int, seed: int) -> Load:
    """Chunks of the set's own words in the frequencies that they have there, each with two words of its own.

    Their vectors lie between two of the set's own chunks', nearer to the first, and a little aside: texts fill few of
    the model's 384 directions, and an index makes use of that (over vectors in any direction pgvector's takes several
    times as long). A question names the two words between common ones; its vector is the chunk's, somewhat turned.
    """
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    counted = Counter(re.findall(r"[a-z]+", " ".join(page for pages in texts.values() for page in pages).lower()))
    words, weights = list(counted), list(counted.values())
    made = [
        " ".join((*chance.choices(words, weights, k=WORDS_A_CHUNK), f"mark{at}a", f"mark{at}b.")).capitalize()
        for at in range(chunks)
    ]
    own = [chunk for file, pages in texts.items() for chunk in chunking.by_sentences(file, pages, model.offsets)]
    known = model.embed([chunk.text for chunk in own])
    one, other = (known[noise.integers(len(known), size=chunks)] for _ in range(2))
    share = noise.uniform(0, 0.5, (chunks, 1)).astype(np.float32)
    aside = _ASIDE * DIMENSION**-0.5 * noise.standard_normal((chunks, DIMENSION), np.float32)
    vectors = _unit((1 - share) * one + share * other + aside)
    asked = []
    for at in chance.sample(range(chunks), min((WARMING_UP + 1) * QUERIES, chunks)):
        common = " ".join(chance.choices(words, weights, k=6))
        turned = _unit(vectors[at] + 0.03 * noise.standard_normal(DIMENSION, np.float32))
        asked.append((f"What does {common} mark{at}a mark{at}b?", turned, at))
    return Load(made, vectors, asked)


def measure(bench: Bench, name: str, opener: Opener, load: Load) -> list[Figure]:
    """Seconds to fill one store, and processor milliseconds of one search in it."""
    use_one_thread()  # as the engine does when it starts
    with opener(bench) as store:
        cpu_before, began = _cpu_s(store), time.perf_counter()
        store.fill(load.texts, load.vectors)
        filled_s, fill_cpu_s = time.perf_counter() - began, _cpu_s(store) - cpu_before
        bench.say(f"  {name}: {len(load.texts):,} chunks in {filled_s:.1f} s")
        measured = load.questions[-QUERIES:]
        for question, vector, _ in load.questions[:-QUERIES]:  # whatever is read or built at the first ones
            store.search(question, vector)
        costs, clock, found = [], [], []
        for question, vector, at in measured:
            elsewhere = _servers_cpu_s(store)
            cpu_before, began = time.process_time(), time.perf_counter()
            pages = store.search(question, vector)
            clock.append(1000 * (time.perf_counter() - began))
            cpu_s = time.process_time() - cpu_before  # read before the look at others, which costs more than a search
            costs.append(1000 * (cpu_s + _servers_cpu_s(store) - elsewhere))
            found.append(at + 1 in pages[:1])
    what = f"{name}, {len(load.texts):,} chunks"
    each = f"{number(1e6 * fill_cpu_s / len(load.texts))} CPU-µs a chunk"
    spread = (
        f"p95 {number(scoring.quantile(costs, 0.95))} ms; on the clock p50 {number(scoring.quantile(clock, 0.5))} ms"
    )
    return [
        Figure(f"filling a store: {what}", filled_s, "s", None, f"{each}, vectors given"),
        Figure(f"one search, median: {what}", scoring.quantile(costs, 0.5), "CPU-ms", GOAL, spread),
        Figure(f"found first: {what}", scoring.share(found), "%", None, f"of {len(found)} searches"),
    ]


def _cpu_s(store: Store) -> float:
    """Processor time of this process and of the servers that the store leans on, so far."""
    return time.process_time() + _servers_cpu_s(store)


def _servers_cpu_s(store: Store) -> float:
    return sum(tree_cpu_seconds(root) for root in store.servers)


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
