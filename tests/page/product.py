"""The product as a person meets it: a uvicorn process with a data folder of its own, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 60


class Product:
    """One server; `url` stays the same over restarts. `environment` goes on top of this process's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._environment = {"MIVA_RATE": "10000/min", "MIVA_SOCKETS": "1000"} | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the page is served; raises RuntimeError with the server's last words where it is not."""
        settings = {name: value for name, value in os.environ.items() if not name.startswith(("MIVA_", "REDIS_"))}
        settings |= {"MIVA_DATA_DIR": str(self.folder / "data")} | self._environment
        command = [sys.executable, "-m", "uvicorn", "epsilon.asgi:application", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url, timeout=5):
                return
            time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"The server did not start:\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """Ends the server as an operator does (SIGTERM)."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """Ends the server, and all that it started, without a warning."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def log(self) -> str:
        """Everything that the server has written."""
        return (self.folder / "server.log").read_text(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
