"""uvicorn as the product starts it, under another ASGI application: the baseline of sockets and stalls.

`python -m benchmarks.bare PORT [module:application]` serves it. The application of this module accepts every socket and
sends each text back, of a long one its beginning.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from benchmarks.bench import ROOT, Bench
from benchmarks.processes import Pinned, free_port, inherited_environment
from benchmarks.relays import Relay

Message = MutableMapping[str, Any]

APPLICATION = "benchmarks.bare:application"
ECHOED = 100
"""Characters of a text that are sent back."""
LARGEST_FRAME = 10**8


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The echo."""
    if scope["type"] != "websocket":
        return
    while True:
        message = await receive()
        match message["type"]:
            case "websocket.connect":
                await send({"type": "websocket.accept"})
            case "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"][:ECHOED]})
            case "websocket.disconnect":
                return


@contextmanager
def bare(bench: Bench, application: str = APPLICATION, **environment: str) -> Iterator[Relay]:
    """An application under the product's uvicorn, on the core of what is measured."""
    name, port = application.split(":")[0], free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port), application]
    with Pinned(
        command,
        core=bench.server_core,
        log=bench.folder / f"{name}.log",
        environment=inherited_environment() | environment,
        cwd=ROOT,
    ) as server:
        server.wait_for_port(port)
        yield Relay(name, f"ws://127.0.0.1:{port}/ws/chat/", server)


def main(port: str, application: str = APPLICATION) -> None:
    """Serves until it is stopped, with the options of `manage.py serve`."""
    uvicorn.run(
        application,
        port=int(port),
        loop="uvloop",
        ws="websockets-sansio",
        ws_max_size=LARGEST_FRAME,
        ws_per_message_deflate=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
