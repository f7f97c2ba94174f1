"""Temporary folders of dead processes are removed, those of living ones are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from miva.documents.temporary import TemporaryFolder
from tests.documents.helpers import SECONDS


def test_a_killed_process_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from miva.documents.temporary import TemporaryFolder\n"
        "folder = TemporaryFolder(pathlib.Path(sys.argv[1]))\n"
        "folder.new_file()\n"
        "print(folder.path, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    mine = TemporaryFolder(tmp_path)
    assert left.is_dir()
    assert len(list(left.iterdir())) == 2  # its lock and its file
    process.kill()
    process.wait(timeout=SECONDS)
    process.stdout.close()
    another = TemporaryFolder(tmp_path)
    assert not left.exists()
    assert mine.path.is_dir()
    mine.close()
    another.close()
    assert list(tmp_path.iterdir()) == []
