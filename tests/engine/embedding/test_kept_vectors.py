"""Vectors of texts that were asked about lately are not made again, and deleting forgets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from miva.engine import meaning
from miva.engine.embedding.model import Embedder
from miva.engine.embedding.weights import ModelMissing
from miva.engine.meaning import Meaning
from miva.engine.vectors import Vectors
from tests.engine.embedding.test_queue import Gated, running

TEXTS = ["The rent is due on Monday.", "Who pays?", "The rent is due on Monday.", "It rains."]


async def embedded(kept: Meaning, texts: list[str]) -> Vectors | None:
    """What a thread gets that looks for passages."""
    return await asyncio.to_thread(kept.embed(asyncio.get_running_loop()), texts)


@pytest.fixture
def gated(embedder: Embedder) -> Gated:
    return Gated(embedder)


async def test_each_text_is_embedded_once_and_gives_the_same_ever_after(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        first = await embedded(kept, TEXTS)
        assert gated.asked == [[TEXTS[0], TEXTS[1], TEXTS[3]]]
        second = await embedded(kept, [*TEXTS, "What else?"])
        assert gated.asked[1:] == [["What else?"]]
        assert first is not None
        assert second is not None
        assert np.array_equal(first, second[:4])
        assert np.array_equal(first[0], first[2])
        assert (await embedded(kept, [])) is not None


async def test_what_was_forgotten_is_made_again(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        await embedded(kept, TEXTS)
        kept.forget()
        assert not kept._kept
        await embedded(kept, TEXTS[:1])
        assert gated.asked[1:] == [TEXTS[:1]]


async def test_a_question_that_was_begun_before_leaves_nothing_of_what_is_forgotten(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        begun = kept.embed(asyncio.get_running_loop())
        kept.forget()
        assert (await asyncio.to_thread(begun, TEXTS)) is not None
        assert not kept._kept


async def test_what_is_begun_ahead_is_made_once(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        for _ in range(2):
            kept.expect(TEXTS[1], asyncio.get_running_loop())
        assert (await embedded(kept, TEXTS[1:2])) is not None
        kept.expect(TEXTS[1], asyncio.get_running_loop())
        assert (await embedded(kept, TEXTS[1:2])) is not None
        assert gated.asked == [TEXTS[1:2]]
        assert not kept._coming


async def test_what_fails_ahead_is_made_when_it_is_asked_for(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        failing = asyncio.get_running_loop().create_future()
        failing.set_exception(RuntimeError("the model fell over"))
        with monkeypatch.context() as patch:
            patch.setattr(queue, "question", lambda _: failing)
            kept.expect("crash", asyncio.get_running_loop())
            while kept._coming:
                await asyncio.sleep(0)
        assert (await embedded(kept, TEXTS[1:2])) is not None
        assert gated.asked == [TEXTS[1:2]]


async def test_what_is_forgotten_while_it_is_begun_ahead_is_not_kept(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        kept.expect(TEXTS[1], asyncio.get_running_loop())
        kept.forget()
        while kept._coming:
            await asyncio.sleep(0.001)
        assert not kept._kept


async def test_only_so_many_are_kept_those_used_last(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "MOST_KEPT", 3)
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        await embedded(kept, ["one", "two", "three"])
        await embedded(kept, ["one"])
        await embedded(kept, ["four"])
        assert len(kept._kept) == 3
        await embedded(kept, ["one", "three", "two"])
        assert gated.asked[2:] == [["two"]]


async def test_a_crash_or_no_model_is_told_as_none(gated: Gated) -> None:
    with running(lambda _: gated) as queue:
        kept = Meaning(queue)
        assert await embedded(kept, ["crash it"]) is None
        assert await embedded(kept, ["one"]) is not None

    def missing(_: Path) -> Embedder:
        raise ModelMissing("It is not installed.")

    with running(missing) as queue:
        kept = Meaning(queue)
        assert await embedded(kept, ["one"]) is None
        assert kept.dimension == 0
