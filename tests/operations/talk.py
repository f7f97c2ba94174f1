"""Talks with a running product over its sockets and its HTTP side, and looks at its processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.typing import Subprotocol

from tests.processes import parent, process_tree
from tests.product import PATIENCE_S

T = TypeVar("T")


def call(url: str, data: object = None, **headers: str) -> tuple[int, Any]:
    """A GET, or a POST of `data` as JSON; the status and the answer's JSON."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def open_socket(url: str, *subprotocols: str, **options: Any) -> connect:
    """A client without limits of its own."""
    names = [Subprotocol(name) for name in subprotocols] or None
    defaults: dict[str, Any] = {"max_size": None, "compression": None, "open_timeout": PATIENCE_S, "proxy": None}
    return connect(url, subprotocols=names, **(defaults | options))


def open_unix_socket(path: Path, *subprotocols: str) -> connect:
    names = [Subprotocol(name) for name in subprotocols] or None
    return unix_connect(str(path), "ws://localhost/ws/chat/", subprotocols=names, max_size=None, compression=None)


async def ask_plainly(socket: ClientConnection, message: str, **more: Any) -> dict[str, Any]:
    """A question of the plain dialect, and the one frame that answers it."""
    await socket.send(json.dumps({"message": message, "type": "chat", "unique_id": str(uuid4()), **more}))
    return json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))  # type: ignore[no-any-return]


async def ask_numbered(socket: ClientConnection, message: str, **more: Any) -> list[dict[str, Any]]:
    """A question of miva.v1, and its frames from `accepted` to the turn's end; what came before is left out."""
    question = str(uuid4())
    await socket.send(json.dumps({"type": "ask", "id": question, "message": message, **more}))
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] not in {"done", "error", "cancelled"}:
        frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))
        if frames or frame.get("id") == question:
            frames.append(frame)
    return frames


async def eventually(look: Callable[[], T], patience: float = PATIENCE_S) -> T:
    """The first true thing that `look` returns; fails with its last where none comes."""
    deadline = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert found, f"it did not come to be within {patience:g} s: {look}"
    return found


def command_line(pid: int) -> list[str]:
    """A process's command and arguments; empty where it is gone, or is a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    return []


def engines_for(data: Path) -> list[int]:
    """The embedded engines that run on a data folder; without what one of them just forks, which has its command line
    until it runs its own."""
    folder = str(data / "engine")
    found = [pid for pid in _all() if "miva.engine" in (line := command_line(pid)) and folder in line]
    return [pid for pid in found if parent(pid) not in found]


def readers_below(pid: int) -> list[int]:
    """The processes that read PDFs for a server: the one that forks them, and those."""
    return [child for child in process_tree(pid) if "miva.documents.zygote" in command_line(child)]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if command_line(pid)]


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
