"""An engine that does what the question says, for what the embedded engine never does: stall, fail, send HTML."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "<svg onload=\"document.title='owned'\"></svg><a href=\"javascript:document.title='owned'\">click</a>"
    "<style>body{display:none}</style><iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>"
    "[markdown](javascript:document.title='owned') **bold**"
)


def counted(words: int) -> str:
    """The whole answer to “count N”, which comes word by word, 20 a second."""
    return " ".join(f"word{number}" for number in range(words))


class ScriptedEngine:
    """Listens on a free port while it is entered; `url` is for MIVA_ENGINE_URL, `cancelled` has what was cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.counted = 0
        """How often it was asked to count."""
        self._server: Server | None = None

    def __enter__(self) -> ScriptedEngine:
        self._server = serve(self._answer, "127.0.0.1", 0)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()

    def _answer(self, line: ServerConnection) -> None:
        try:
            for text in line:
                question = json.loads(text)
                if question.get("type") == "chat":
                    self._play(line, str(question["message"]))
        except ConnectionClosed:
            pass

    def _play(self, line: ServerConnection, message: str) -> None:
        word = message.split()[0]
        match word:
            case "endless":
                self._speak_until_cancelled(line)
            case "hostile":
                _say(line, type="stream", content=f"{HOSTILE} **bold**")
                time.sleep(0.3)  # so that the page draws the text before the end replaces it
                sources = [{"document": "d", "name": HOSTILE, "page": 1, "quote": HOSTILE}]
                _say(line, type="done", response=f"{HOSTILE} **bold**", sources=sources)
            case "untyped":
                line.send(json.dumps({"response": f"one {HOSTILE}"}))
                line.send("two")
            case "count":
                self._count(line, int(message.split()[1]))
            case "broken":
                _say(line, type="error", message="The library is closed today.")
            case _:
                _say(line, type="thinking")
                for piece in ("You ", "asked: ", message):
                    _say(line, type="stream", content=piece)
                _say(line, type="done", response=f"You asked: {message}", sources=[])

    def _count(self, line: ServerConnection, words: int) -> None:
        self.counted += 1
        for number in range(words):
            _say(line, type="stream", content=f"word{number} ")
            time.sleep(0.05)
        _say(line, type="done", response=counted(words), sources=[])

    def _speak_until_cancelled(self, line: ServerConnection) -> None:
        for number in range(2000):
            with contextlib.suppress(ConnectionClosed):  # a cancel may have come before the end of the line
                _say(line, type="stream", content=f"word{number} ")
            try:
                if json.loads(line.recv(timeout=0.05)).get("type") == "cancel":
                    self.cancelled.set()
                    return
            except TimeoutError:
                continue


def _say(line: ServerConnection, **frame: Any) -> None:
    line.send(json.dumps(frame))
