"""Every hostile file is answered with text or a code while normal files beside it are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from miva.documents.pool import Pool
from miva.protocol import errors
from tests.documents.helpers import SHARED, bomb_pdf, submit
from tests.pdfs import make_pdf

HOSTILE = sorted((SHARED / "hostile").glob("*.pdf"))
ANSWER_S = 30.0


@pytest.mark.skipif(not HOSTILE, reason="the folder of hostile PDFs is not here")
def test_every_hostile_file_is_answered_while_normal_ones_are_read(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(workers=2)
    for path in HOSTILE:
        hostile = submit(pool, path.read_bytes(), owner="mallory")
        normal = [submit(pool, make_pdf([f"normal {number}"]), owner="alice") for number in range(20)]
        assert [reading.result(timeout=ANSWER_S).pages[0] for reading in normal] == [f"normal {n}" for n in range(20)]
        why = hostile.exception(timeout=ANSWER_S)
        assert why is None or isinstance(why, errors.FileRefused), f"{path.name}: {why!r}"
    assert submit(pool, make_pdf(["after"])).result(timeout=ANSWER_S).pages == ("after",)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", ["pdfium", "pypdf2"])
def test_each_extractor_alone_ends_with_an_answer(make_pool: Callable[..., Pool], path: Path, engine: str) -> None:
    pool = make_pool(engines=(engine,), memory_mb=400, stall_s=2.0)
    why = submit(pool, path.read_bytes()).exception(timeout=ANSWER_S)
    assert why is None or isinstance(why, errors.FileRefused)


def test_a_bomb_costs_its_own_process_only(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(workers=2, memory_mb=256)
    bomb = submit(pool, bomb_pdf(400), owner="mallory")
    normal = [submit(pool, make_pdf(["fine"]), owner="alice") for _ in range(10)]
    assert {reading.result(timeout=ANSWER_S).pages for reading in normal} == {("fine",)}
    assert isinstance(bomb.exception(timeout=ANSWER_S), errors.FileRefused)
