"""The product as a user starts it: one real server process with a data folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.migrated import lend_database
from tests.models import lend_model
from tests.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
START_S = 60.0 * float(os.environ.get("TEST_PATIENCE", "1"))
PATIENCE_S = 30.0 * float(os.environ.get("TEST_PATIENCE", "1"))
"""How long a test waits for what should come at once; slow machines stretch it with TEST_PATIENCE."""

SERVERS = ("uvicorn", "daphne", "runserver", "serve")
APPLICATION = "epsilon.asgi:application"


def command_for(server: str, port: int, application: str = APPLICATION) -> list[str]:
    """The command of contract section 1 that starts this server; `application` is what uvicorn and daphne serve."""
    python = sys.executable
    match server:
        case "uvicorn":
            # As the README says for production: frames of the size that the settings allow.
            return [
                python,
                "-m",
                "uvicorn",
                application,
                "--port",
                str(port),
                "--ws",
                "miva.uvicorn_protocol:JoiningProtocol",
                "--ws-max-size",
                "80000000",
                "--ws-per-message-deflate",
                "false",
            ]
        case "daphne":
            return [python, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), application]
        case "runserver":
            return [python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
        case "serve":
            return [python, "manage.py", "serve"]
    raise ValueError(server)


class Product:
    """One server; its address stays the same over restarts. `environment` goes on top of this process's.

    It begins with a migrated database, unless `is_first_start` is set: then as on a user's machine, with none.
    """

    is_first_start = False

    def __init__(self, folder: Path, server: str = "uvicorn", **environment: str) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.application = APPLICATION
        self.listen_at(free_port())
        self.data = self.folder / "data"
        self.settings = {"MIVA_RATE": "10000/min", "MIVA_SOCKETS": "1000"} | environment
        self.process: subprocess.Popen[bytes] | None = None

    def listen_at(self, port: int) -> Product:
        """Chooses its port, before it is started."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self.socket_url = f"ws://127.0.0.1:{port}/ws/chat/"
        return self

    def environment(self) -> dict[str, str]:
        """The settings that the server gets: none of this process's own, but what a test gives."""
        ours = ("MIVA_", "REDIS_", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "CSRF_", "HOST", "PORT")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        own = {"MIVA_DATA_DIR": str(self.data), "PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        return inherited | own | self.settings

    def start(self) -> Product:
        """Returns when the server answers; raises RuntimeError with its last words where it does not."""
        if not self.is_first_start and not {"DATABASE_URL", "MIVA_DATA_DIR"} & set(self.settings):
            lend_database(self.data)
        if not {"MIVA_ENGINE_URL", "MIVA_DATA_DIR"} & set(self.settings):
            self.data.mkdir(exist_ok=True, mode=0o700)
            lend_model(self.data / "engine")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command_for(self.server, self.port, self.application),
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url + "api/health/live/", timeout=5):
                return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"The server did not start:\n{self.log()[-3000:]}")

    def stop(self) -> int | None:
        """Ends the server as an operator does (SIGTERM); returns its exit code, None where it had to be killed."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the server and all that it started in its session, without a warning."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """A management command with the same settings."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(), text=True, capture_output=True, timeout=120, **options
        )

    def log(self) -> str:
        """Everything that the server has written."""
        return (self.folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> Product:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
