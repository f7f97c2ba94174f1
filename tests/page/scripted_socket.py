"""A server's side of miva.v1 that a test plays by hand, for what a real server shows seldom: gaps, holes, refusals.

The page and everything over HTTP come from the running product; only the page's WebSocket ends here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, WebSocketRoute

HELLO = {
    "type": "hello",
    "user": {"name": "Guest", "guest": True},
    "limits": {"max_frame": 80_000_000, "max_file": 50_000_000, "max_pages": 5000, "max_message": 100_000},
    "engine": {"name": "scripted", "models": [], "streaming": True},
    "server": "scripted",
}
LONGEST_FRAME = 256 * 1024


class ScriptedSocket:
    """Greets each line of the page and remembers its frames. `refuses` makes lines end at once with that close code."""

    def __init__(self, page: Page) -> None:
        self.refuses: int | None = None
        self.answers_pings = True
        self.lines: list[list[Any]] = []
        """What came on each line: frames as JSON, binary ones as bytes."""
        self._page = page
        self._route: WebSocketRoute | None = None
        page.route_web_socket("**/ws/chat/", self._take)

    def _take(self, route: WebSocketRoute) -> None:
        self._route = route
        heard: list[Any] = []
        self.lines.append(heard)
        route.on_message(lambda frame: self._hear(heard, frame))
        if self.refuses is not None:
            route.close(code=self.refuses)
        else:
            self.say(HELLO)

    def _hear(self, heard: list[Any], frame: str | bytes) -> None:
        assert len(frame if isinstance(frame, bytes) else frame.encode()) <= LONGEST_FRAME
        heard.append(json.loads(frame) if isinstance(frame, str) else frame)
        if isinstance(frame, str) and heard[-1] == {"type": "ping"} and self.answers_pings:
            self.say({"type": "pong"})

    def say(self, *frames: dict[str, Any]) -> None:
        """Sends frames on the newest line."""
        assert self._route is not None
        for frame in frames:
            self._route.send(json.dumps(frame))

    def hang_up(self, code: int = 1012) -> None:
        """Ends the newest line."""
        assert self._route is not None
        self._route.close(code=code)

    def heard(self, kind: str, line: int = -1) -> list[dict[str, Any]]:
        """The frames of a type on a line."""
        return [frame for frame in self.lines[line] if isinstance(frame, dict) and frame["type"] == kind]

    def pieces(self, line: int = -1) -> list[bytes]:
        """The binary frames on a line."""
        return [frame for frame in self.lines[line] if isinstance(frame, bytes)]

    def wait_until(self, what: Callable[[], object]) -> None:
        """Lets the page run on until something is true of what was heard."""
        for _ in range(1200):
            if what():
                return
            self._page.wait_for_timeout(25)
        raise AssertionError(f"It did not come to that. The lines: {self.lines!r:.2000}")

    def wait_for(self, kind: str, lines: int = 1, count: int = 1) -> dict[str, Any]:
        """The first frame of a type on the newest line, once there are that many lines and so many of it have come."""
        self.wait_until(lambda: len(self.lines) >= lines and len(self.heard(kind)) >= count)
        return self.heard(kind)[0]
