"""The embedded engine as a child process: one per machine, restarted when it dies, gone when the relay goes.

Every process of the relay runs one watching thread. The thread that holds the lock file starts the engine and waits for
it; when that process ends, however it ends, the kernel frees the lock and the engine sees its standard input close.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from django.conf import settings

from miva.engine_config import open_config

logger = logging.getLogger("miva.engine_process")

LOCK_POLL_S = 0.5
STEADY_S = 10.0
"""An engine that lived so long is started again at once; one that dies sooner waits, each time longer."""
LONGEST_PAUSE_S = 10.0
LONGEST_SOCKET_PATH = 90
"""Unix socket paths end at 108 bytes on Linux and 104 elsewhere; the engine binds beside the name first."""


def socket_path() -> Path:
    """Where the embedded engine listens: below the data folder, or, where that path is too long for a socket, in a
    folder of this user's under the system's temporary one (named by the data folder, so that two relays keep apart)."""
    path: Path = settings.MIVA_DATA_DIR / "engine" / "engine.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(settings.MIVA_DATA_DIR)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"miva-{os.getuid()}-{name}", "engine.sock")


def is_ours(path: Path) -> bool:
    """Whether a socket's folder is a real one of this user's that nobody else may write: in the system's temporary
    folder anybody could have made one of that name, and would be given every question."""
    try:
        folder = path.parent.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(folder.st_mode) and folder.st_uid == os.getuid() and not folder.st_mode & 0o022


class _Watcher(threading.Thread):
    """Becomes the engine's parent when no other process of this machine is."""

    def __init__(self) -> None:
        super().__init__(name="engine-process", daemon=True)
        self._ending = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        path = socket_path()
        home: Path = settings.MIVA_DATA_DIR / "engine"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (home / "engine.lock").open("w") as lock:
            while not self._ending.is_set():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._ending.wait(LOCK_POLL_S)
                    continue
                path.parent.mkdir(exist_ok=True, mode=0o700)
                if not is_ours(path):
                    logger.error("Others can write the engine's socket folder; set MIVA_DATA_DIR to a shorter path")
                    return
                self._keep_running(path)
                if path.parent != home:  # in the system's temporary folder, where nothing should be left lying
                    shutil.rmtree(path.parent, ignore_errors=True)

    def _keep_running(self, path: Path) -> None:
        pause = 0.1
        data = settings.MIVA_DATA_DIR / "engine"
        command = [
            sys.executable,
            "-m",
            "miva.engine",
            "--socket",
            str(path),
            "--data",
            str(data),
            "--until-stdin-closes",
        ]
        while not self._ending.is_set():
            started = time.monotonic()
            config = open_config()
            try:
                self._child = subprocess.Popen(
                    [*command, "--config", str(config)],
                    stdin=subprocess.PIPE,
                    pass_fds=(config,),
                    stdout=subprocess.DEVNULL,
                    cwd=settings.BASE_DIR,
                    start_new_session=True,  # Ctrl-C in a terminal is the relay's to handle, which then ends the engine
                )
            except OSError as why:  # no memory or no processes left, for now
                logger.error("The embedded engine cannot be started (%s); trying again", why)
                self._ending.wait(LONGEST_PAUSE_S)
                continue
            finally:
                os.close(config)
            if self._ending.is_set():  # stop() may have looked before there was a child to end
                self._child.terminate()
            code = self._child.wait()
            if self._ending.is_set():
                return
            if time.monotonic() - started > STEADY_S:
                pause = 0.1
            logger.warning("The embedded engine ended (%s); starting it again", code)
            self._ending.wait(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    def end(self) -> None:
        self._ending.set()
        child = self._child
        if child is not None:
            child.terminate()
        self.join(5)
        if child is not None and child.poll() is None:
            child.kill()


_watcher: _Watcher | None = None


def start() -> None:
    """Starts watching, unless an engine of the user's own is configured; safe to call again."""
    global _watcher
    if _watcher is None and not settings.MIVA_ENGINE_URLS:
        _watcher = _Watcher()
        _watcher.start()


def stop() -> None:
    """Ends this process's watching and, where it was the parent, the engine."""
    global _watcher
    if _watcher is not None:
        _watcher.end()
        _watcher = None
