"""The server's end of the fork server: starts it, has workers forked and killed, and learns how they ended."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from . import wire
from .limits import Limits
from .zygote import EXITED, REQUEST

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_TICK_S = 0.5
_SEND_WITHIN = struct.pack("ll", 10, 0)
"""Ten seconds as the kernel's timeval (socket(7))."""
_KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "TESSDATA_PREFIX",
    "TMPDIR",
)


@dataclass(frozen=True)
class Ending:
    """How a worker ended: its exit code (negative: the signal) and the most memory it held, in MiB."""

    code: int
    peak_mb: int


class Worker:
    """One extraction process: its socket, and its ending once it has one."""

    def __init__(self, number: int, sock: socket.socket, server: ForkServer) -> None:
        self.number = number
        self.sock = sock
        self.messages = wire.Receiver(sock)
        self.server = server
        self.jobs = 0
        self.ending: Future[Ending] = Future()

    def is_idle(self) -> bool:
        """True while it waits for a job; a readable socket here means that it has died, or says what nobody asked."""
        if self.messages.has_more:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def kill(self) -> Ending | None:
        """Kills it if it lives, and says how it ended: None where nobody knows any more."""
        self.server.kill(self.number)
        with contextlib.suppress(Exception):
            return self.ending.result(timeout=5)
        return None

    def close(self) -> None:
        """Closes the socket; the process, if it lives, ends by itself."""
        self.sock.close()


class ForkServer:
    """A running fork server. It is replaced, not restarted: `alive` says whether it can still be used."""

    def __init__(self, limits: Limits, on_tick: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._workers: dict[int, Worker] = {}
        self._last = 0
        self._on_tick = on_tick
        self.alive = True
        self._control, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        # The server's secrets stay out of processes that read strangers' files.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "miva.documents.zygote", str(theirs.fileno()), limits.to_json()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is the server's to handle
                env=environment,
            )
        self._listener = threading.Thread(target=self._listen, name="miva-forkserver", daemon=True)
        self._listener.start()

    def fork(self) -> Worker:
        """A new worker that is ready for jobs. Raises wire.Closed or wire.Late where none can be had."""
        ours, theirs = socket.socketpair()
        # A process that a file has taken over may answer jobs without reading them, until its socket is full.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_WITHIN)
        with self._lock, theirs:
            self._last += 1
            worker = Worker(self._last, ours, self)
            self._workers[worker.number] = worker
            try:
                socket.send_fds(self._control, [REQUEST.pack(b"F", worker.number)], [theirs.fileno()])
            except OSError as why:
                ours.close()
                raise wire.Closed from why
        try:
            worker.messages.receive(time.monotonic() + _START_S)
        except (wire.Closed, wire.Late):
            ours.close()
            raise
        return worker

    def kill(self, number: int) -> None:
        """Has a worker killed, with everything it started."""
        with self._lock, contextlib.suppress(OSError):
            self._control.sendall(REQUEST.pack(b"K", number))

    def stop(self) -> None:
        """Ends the fork server and all workers, and waits until they are gone."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._listener:
            self._listener.join(timeout=10)

    def forget(self) -> None:
        """Closes what a forked copy of the server inherited, without a word to the real one's processes."""
        self._control.close()
        for worker in self._workers.values():
            worker.sock.close()

    def _listen(self) -> None:
        message = b""
        self._control.settimeout(_TICK_S)
        while True:
            self._on_tick()
            try:
                received = self._control.recv(EXITED.size - len(message))
            except TimeoutError:
                continue
            except OSError:
                break
            if not received:
                break
            message += received
            if len(message) == EXITED.size:
                _, number, code, peak = EXITED.unpack(message)
                message = b""
                worker = self._workers.pop(number, None)
                if worker is not None:
                    worker.ending.set_result(Ending(code, peak))
        self.alive = False
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for worker in list(self._workers.values()):
            if not worker.ending.done():
                worker.ending.set_exception(wire.Closed())
