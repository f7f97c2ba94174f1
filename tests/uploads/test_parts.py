"""The files on disk in which uploads lie until they are whole, with writers in several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from miva.documents.parts import Part, TakenOver
from tests.product import PATIENCE_S

SIZE = 2_000_000
_WRITER = """
import random, sys, time
from uuid import UUID
from django.conf import settings
settings.configure(MIVA_DATA_DIR=sys.argv[1])
from miva.documents.parts import Part, TakenOver
data = bytes(number % 251 for number in range({size}))
chance = random.Random(int(sys.argv[3]))
lost = 0
while True:
    part = Part(UUID(sys.argv[2]))
    done = part.take()
    try:
        while done < len(data):
            piece = data[done : done + chance.randrange(1, 40_000)]
            part.write(done, piece)
            done += len(piece)
            time.sleep(float(sys.argv[4]))
        break
    except TakenOver:
        lost += 1
        time.sleep(chance.random() / 20)
    finally:
        part.close()
print(lost)
"""


@pytest.fixture
def part(settings: Any, tmp_path: Path) -> Part:
    settings.MIVA_DATA_DIR = tmp_path
    return Part(uuid4())


def names(part: Part) -> set[str]:
    """What lies in the folder."""
    return {path.suffix for path in part.path.parent.iterdir()}


def another(part: Part) -> Part:
    """The same file for somebody else."""
    return Part(UUID(part.path.stem))


def start_writer(part: Part, size: int, seed: int, pause: float) -> subprocess.Popen[str]:
    """A process that sends the file until all of it is there."""
    where = [str(part.path.parent.parent), part.path.stem]
    command = [sys.executable, "-c", _WRITER.format(size=size), *where, str(seed), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_bytes_are_appended_and_private(part: Part) -> None:
    assert part.size() == part.take() == 0
    part.write(0, b"Ada ")
    part.write(4, b"wrote it")
    assert part.path.read_bytes() == b"Ada wrote it"
    assert part.path.stat().st_mode & 0o777 == 0o600
    assert part.path.parent.stat().st_mode & 0o777 == 0o700
    part.close()
    assert another(part).take() == 12
    with pytest.raises(TakenOver):
        part.write(12, b"!")


def test_only_the_last_to_take_it_may_write(part: Part) -> None:
    part.take()
    part.write(0, b"first")
    newer = another(part)
    assert newer.take() == 5
    with pytest.raises(TakenOver):
        part.write(5, b"late")
    newer.write(5, b", second")
    assert part.path.read_bytes() == b"first, second"


def test_a_hole_is_never_made(part: Part) -> None:
    part.take()
    for offset in (1, 5):
        with pytest.raises(TakenOver):
            part.write(offset, b"x")
    assert part.size() == 0


def test_nobody_writes_into_a_file_that_was_moved_away(part: Part) -> None:
    """What was hashed and kept must stay what it is: its content is shared by all who send the same."""
    part.take()
    part.write(0, b"kept")
    with another(part).held():
        kept = part.path.rename(part.path.with_name("kept"))
    with pytest.raises(TakenOver):
        part.write(4, b", forged")
    assert kept.read_bytes() == b"kept"
    assert names(part) == {""}


def test_removing_takes_everything_along(part: Part) -> None:
    part.take()
    part.write(0, b"x")
    another(part).remove()
    assert names(part) == set()
    with pytest.raises(TakenOver):
        part.write(1, b"y")
    another(part).remove()
    assert names(part) == set()
    with pytest.raises(TakenOver), part.held():
        pytest.fail("there is nothing to hold")
    assert names(part) == set()


def test_writers_in_several_processes_make_one_whole_file(part: Part) -> None:
    writers = [start_writer(part, SIZE, seed, 0.01) for seed in range(3)]
    said = [writer.communicate(timeout=4 * PATIENCE_S)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 3
    assert part.path.read_bytes() == bytes(number % 251 for number in range(SIZE))
    assert sum(map(int, said)) > 0, "no writer ever met another"


def test_a_writer_that_is_killed_leaves_what_it_wrote_and_no_lock(part: Part) -> None:
    killed = start_writer(part, 10 * SIZE, 0, 0.0)
    while part.size() < 100_000:
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    size = part.take()
    assert size == part.size() >= 100_000
    assert part.path.read_bytes() == bytes(number % 251 for number in range(size))
    part.write(size, b"more")
