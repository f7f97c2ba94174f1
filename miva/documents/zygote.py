"""The process from which extraction processes are forked: small, single-threaded, with the libraries loaded already.

Started as `python -m miva.documents.zygote <fd> <limits>`. It never opens a document, so no document can hang it.

From the server, five bytes each: `F` and a number (with a socket attached: fork a worker that serves this socket under
this number), `K` and a number (kill it). To the server, `X`, the number, the wait status and the peak memory in MiB of
a worker that has ended. When the server is gone, however it went, all workers are killed and this process ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from typing import NoReturn

from . import rlimits, worker
from .limits import Limits

REQUEST = struct.Struct("!ci")
EXITED = struct.Struct("!ciii")


def main() -> None:
    """Serves the socket given on the command line until its other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    limits = Limits.from_json(sys.argv[2])
    worker.load_libraries(limits)
    gc.freeze()
    _Zygote(control, limits).serve()


class _Zygote:
    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self.control = control
        self.limits = limits
        self.workers: dict[int, int] = {}  # process id -> the server's number for it
        self.bell, self._ringer = os.pipe()
        os.set_blocking(self._ringer, False)
        signal.set_wakeup_fd(self._ringer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        try:
            while True:
                ready, _, _ = select.select([self.control.fileno(), self.bell], [], [])
                if self.bell in ready:
                    os.read(self.bell, 4096)
                    self._reap()
                if self.control.fileno() in ready and not self._obey():
                    return
        except OSError:
            return  # the server is gone in the middle of a message
        finally:
            for process in self.workers:
                _kill_group(process)

    def _obey(self) -> bool:
        request, fds, _, _ = socket.recv_fds(self.control, REQUEST.size, 1)
        while request and len(request) < REQUEST.size:
            rest = self.control.recv(REQUEST.size - len(request))
            if not rest:
                return False
            request += rest
        if not request:
            return False
        verb, number = REQUEST.unpack(request)
        if verb == b"F":
            self._fork(number, fds[0])
        else:
            for process, known in self.workers.items():
                if known == number:
                    _kill_group(process)
        return True

    def _fork(self, number: int, fd: int) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:
            os.close(fd)  # the server sees a closed socket
            return
        if process == 0:
            self._become_worker(fd, parent)
        os.close(fd)
        self.workers[process] = number

    def _become_worker(self, fd: int, parent: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            rlimits.die_with_parent(parent)
            os.setsid()  # a group of its own, so that an OCR program it started dies with it
            for inherited in (self.control.detach(), self.bell, self._ringer):
                os.close(inherited)
            rlimits.quiet()
            rlimits.restrain(self.limits.memory_mb)
            worker.serve(socket.socket(fileno=fd), self.limits)
        finally:
            os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            # While the process is unreaped its id cannot have gone to somebody else.
            _kill_group(found.si_pid)
            _, status, usage = os.wait4(found.si_pid, 0)
            peak = usage.ru_maxrss >> (20 if sys.platform == "darwin" else 10)
            number = self.workers.pop(found.si_pid, -1)
            self.control.sendall(EXITED.pack(b"X", number, os.waitstatus_to_exitcode(status), peak))


def _kill_group(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
