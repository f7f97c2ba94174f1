"""Processes and their ports, without the product: what is measured is not to carry what only tests need."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from pathlib import Path

_FIRST_PORT, _PORTS_EACH = 10_000, 200
_ports = itertools.cycle(_FIRST_PORT + os.getpid() % 100 * _PORTS_EACH + place for place in range(_PORTS_EACH))


def free_port() -> int:
    """A port that nobody else is given before what is to listen on it does: each test process has ports of its own,
    below those from which the system serves all others."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def parent(pid: int) -> int:
    """The id of a process's parent; 0 where the process is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def process_tree(root: int) -> list[int]:
    """The ids of a process and all its descendants that are alive now."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            children.setdefault(parent(int(folder.name)), []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found
