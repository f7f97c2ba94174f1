"""One extraction process: takes jobs from its socket, answers each with events and one end.

A job is `{"kind": "pdf" | "ocr" | "text" | "base64", …}` with the file's descriptor. Events are `{"event": "form"}`
where a PDF has one, `{"event": "count", "pages"}` and, with the page's text, `{"event": "page", "index", "doubtful",
"garbled", "failed", "scan", "added"}`. The end is `{"event": "end", …}`, `{"event": "refused", "code", "message"}` or
`{"event": "trouble", "trace"}`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from typing import Any

from . import rlimits, wire
from .limits import Limits
from .refusal import Refusal


def load_libraries(limits: Limits) -> None:
    """Imports what the jobs will need, once, before workers are forked."""
    if "pdfium" in limits.engines or limits.tesseract:
        from . import pdfium_engine  # noqa: F401
    if "pypdf2" in limits.engines:
        from . import pypdf2_engine  # noqa: F401
    from . import base64_text, plain_text  # noqa: F401


def serve(sock: socket.socket, limits: Limits) -> None:
    """Does one job after the other until the server closes the socket."""
    with contextlib.suppress(wire.Closed):
        wire.send(sock, {"event": "ready"})
        while True:
            job, fds = wire.receive_with_fds(sock, 2)
            try:
                rlimits.allow_cpu(limits.timeout_s)
                _do(sock, job, fds, limits)
            finally:
                for fd in fds:
                    os.close(fd)


def _do(sock: socket.socket, job: dict[str, Any], fds: list[int], limits: Limits) -> None:
    sender = wire.Sender(sock)
    with contextlib.ExitStack() as afterwards:
        try:
            end = _run(job, fds, limits, sender, afterwards)
        except Refusal as why:
            end = {"event": "refused", "code": why.code, "message": why.message}
        except MemoryError:
            end = {"event": "refused", "code": "extraction_memory", "message": None}
        except wire.Closed:
            raise
        except Exception:
            end = {"event": "trouble", "trace": traceback.format_exc()}
        sender.send({**end, "memory_mb": rlimits.peak_memory_mb()})


def _run(
    job: dict[str, Any], fds: list[int], limits: Limits, sender: wire.Sender, afterwards: contextlib.ExitStack
) -> dict[str, Any]:
    match job["kind"]:
        case "pdf" if job["engine"] == "pdfium":
            from . import pdfium_engine

            return {"event": "end", "outline": pdfium_engine.read(fds[0], job, limits, sender, afterwards)}
        case "pdf":
            from . import pypdf2_engine

            pypdf2_engine.read(fds[0], job, limits, sender.send)
            return {"event": "end"}
        case "ocr":
            from . import ocr

            ocr.read(fds[0], job, limits, sender.send)
            return {"event": "end"}
        case "text":
            from . import plain_text

            text, encoding = plain_text.decode(fds[0], limits)
            sender.send({"event": "count", "pages": 1}, may_wait=True)
            sender.send({"event": "page", "index": 0}, text, may_wait=True)
            return {"event": "end", "encoding": encoding}
        case _:
            from . import base64_text

            return {"event": "end", **base64_text.decode_file(fds[0], fds[1], limits.max_file_bytes)}
