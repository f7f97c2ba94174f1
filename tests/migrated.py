"""A new database, made once and lent to the servers that tests start: each would take half a second for its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import django

_ROOT = Path(__file__).resolve().parent.parent
_MADE = Path(__file__).parent / ".artifacts" / "databases"
_NAME = "miva.sqlite3"


@cache
def _made() -> Path:
    """The file; its name tells the migrations that made it."""
    digest = hashlib.sha256(django.__version__.encode())
    for migration in sorted((_ROOT / "miva" / "migrations").glob("*.py")):
        digest.update(migration.read_bytes())
    kept = _MADE / f"{digest.hexdigest()[:16]}.sqlite3"
    if not kept.exists():
        _MADE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_MADE) as folder:
            ours = {name: value for name, value in os.environ.items() if not name.startswith(("MIVA_", "DATABASE_URL"))}
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                cwd=_ROOT,
                env=ours | {"MIVA_DATA_DIR": folder},
                check=True,
            )
            Path(folder, _NAME).replace(kept)  # whoever else makes it at this moment makes the same
    return kept


def lend_database(data: Path) -> None:
    """Puts a migrated database into a server's data folder; does nothing where one is."""
    data.mkdir(exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=data) as folder, contextlib.suppress(FileExistsError):
        if not (data / _NAME).exists():
            draft = shutil.copy(_made(), folder)
            os.link(draft, data / _NAME)  # never in the place of one that another server has begun with
