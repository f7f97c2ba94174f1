"""`python -m miva.engine`: the embedded engine as a program of its own."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from pathlib import Path

import uvloop

from miva.engine import config, descriptors
from miva.engine.embedding.queue import EmbeddingQueue
from miva.engine.prose import Speaker
from miva.engine.server import Address, CannotListen, listen
from miva.engine.service import Service
from miva.engine.stores.base import StoreError
from miva.engine.stores.choose import open_stores
from miva.engine.stores.sqlite_index import check_sqlite
from miva.engine.vectors import use_one_thread

_LONGEST_SOCKET_PATH = 92  # 104 bytes on the strictest systems, with room for the temporary name
_KEPT_S = 3.0
"""What was told as ready is written to its end when the engine stops, in so long (its parent waits 5 s)."""


def main() -> int:
    """Read the arguments and serve; 0 after a stop that was asked for, 1 or 2 with a sentence on standard error."""
    options = _parser().parse_args()
    complaint = _complaint(options) or check_sqlite()
    if complaint:
        print(f"engine: {complaint}", file=sys.stderr)  # noqa: T201 - this is a command's output
        return 2
    os.umask(0o077)  # what documents say is their owners' business
    logging.basicConfig(level=logging.WARNING, format="engine: %(levelname)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it logs a traceback for every port scan
    try:
        uvloop.run(_serve(options))
    except (CannotListen, StoreError) as error:
        print(f"engine: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    use_one_thread()
    descriptors.raise_limit()
    address = Address(options.host, options.port, options.socket)
    given = config.read(options.config) if options.config is not None else config.Config()
    library, vectors = open_stores(given.vector_store, options.data, given.database_url)
    embeddings = EmbeddingQueue(options.data / "models")
    speaker = Speaker(given.llm)
    service = Service(library, vectors, embeddings, speaker, options.wait_for_documents)
    gc.collect()
    gc.freeze()  # what was made so far stays, and each look through it would hold all questions up for 14 to 24 ms
    beside = [asyncio.create_task(work) for work in (service.go_on(), speaker.warm())]
    try:
        await listen(address, service, until_stdin_closes=options.until_stdin_closes)
        await service.kept(_KEPT_S)
    finally:
        for task in beside:
            task.cancel()
        await speaker.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m miva.engine", description="Answer questions about documents.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--socket", type=Path, help="listen on this Unix socket instead; an older engine's is replaced")
    parser.add_argument("--data", type=Path, required=True, help="folder to keep documents in; made if missing")
    parser.add_argument(
        "--config",
        type=int,
        metavar="DESCRIPTOR",
        help="an open file to read more settings from, as JSON (miva/engine/config.py)",
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    parser.add_argument(
        "--wait-for-documents",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long a question waits for a document that the engine asked for (default: %(default)g)",
    )
    return parser


def _complaint(options: argparse.Namespace) -> str | None:
    if not 0 <= options.port <= 65535:
        return f"--port must be from 0 to 65535, not {options.port}."
    if not options.wait_for_documents > 0:
        return "--wait-for-documents must be more than 0 seconds."
    if options.socket is not None:
        if len(os.fsencode(options.socket)) > _LONGEST_SOCKET_PATH:
            return f"--socket is too long for a Unix socket: at most {_LONGEST_SOCKET_PATH} bytes."
        if not options.socket.absolute().parent.is_dir():
            return f"--socket: the folder {options.socket.parent} does not exist."
    try:
        options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        return f"--data: {options.data} cannot be used as a folder: {error.strerror}."
    if not os.access(options.data, os.R_OK | os.W_OK | os.X_OK):
        return f"--data: {options.data} cannot be written to."
    return None


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that would wait for threads in the middle of a long document, whose work is worth nothing now.
    # Whatever is written is written to a temporary file and renamed, so nothing is left half done.
    os._exit(code)
