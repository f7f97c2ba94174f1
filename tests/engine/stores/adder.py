"""A process that embeds a document beside others: `python -m tests.engine.stores.adder STORE FOLDER URL ID N STEP`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.engine.stores.conftest import KEPT
from tests.engine.stores.material import vectors

if __name__ == "__main__":
    name, folder, url, document, count, step = sys.argv[1:]
    store, rows = KEPT[name](Path(folder), url), vectors(int(count))
    while (held := store.count(document)) < len(rows):
        store.add(document, held, rows[held : held + int(step)])
    store.close()
