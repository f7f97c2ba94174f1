"""Servers that are started with commands of a test's own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.operations.talk import call
from tests.product import ROOT, START_S, Product

STOP_S = 20.0


@contextmanager
def uvicorn(product: Product, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`uvicorn epsilon.asgi:application` with these options, once it answers; its data and log are the product's."""
    command = [sys.executable, "-m", "uvicorn", "epsilon.asgi:application", "--port", str(product.port), *options]
    with (product.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=product.environment(), stdout=log, stderr=log, start_new_session=True
        )
    product.process = process
    try:
        deadline = time.monotonic() + START_S
        while not is_up(product, "api/health/live/"):
            assert process.poll() is None, product.log()
            assert time.monotonic() < deadline, product.log()
            time.sleep(0.1)
        yield process
        process.terminate()
        process.wait(STOP_S)
    finally:
        product.kill()


def is_up(product: Product, path: str = "api/health/") -> bool:
    """Whether a server answers there with 200."""
    try:
        return call(product.url + path)[0] == 200
    except (OSError, ValueError):
        return False
