"""Plays a transcript of tests/contract against a running product, with a scripted engine on the other side."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.engines import ScriptedEngine
from tests.relay.world import text

FOLDER = Path(__file__).resolve().parents[1] / "contract"
MAY_REPEAT = "progress"
Steps = dict[str, Callable[[], Awaitable[None]]]
"""What a test does where a line of this text stands."""
_NAME = re.compile("<[a-z0-9]+>")


def lines(name: str) -> list[dict[str, Any]]:
    """The lines of a transcript."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


class Player:
    """Says the client's and the engine's lines, and expects the server's and the relay's.

    `given` replaces words of the transcript by what they stand for here, on the way out and in comparisons. `…` is any
    value, `<name>` one and the same. Numbered frames must count on without a gap; repeated progress moves those behind
    it. A `then` line runs the step of that text, if the test gave one.
    """

    def __init__(
        self,
        client: ClientConnection,
        engine: ScriptedEngine | None,
        given: dict[str, Any] | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.client = client
        self.engine = engine
        self._given = given or {}
        self.steps = steps or {}
        self._known: dict[str, Any] = {}
        self._heard_of_relay = len(engine.frames) if engine is not None else 0
        self.last_seq = 0
        """The number of the last event that the client knows."""
        self._seq_of: dict[int, int] = {}
        self._early: list[str] = []
        """What was told of documents before its line: it has no number, so its place among numbered frames is free."""

    async def play(self, script: list[dict[str, Any]]) -> None:
        """All of these lines; fails at the first frame that is not as written."""
        for number, line in enumerate(script, 1):
            try:
                await self._line(line)
            except (AssertionError, TimeoutError) as why:
                raise AssertionError(f"line {number}: {line}\n{why!r}") from why

    async def _line(self, line: dict[str, Any]) -> None:
        match line:
            case {"then": then}:
                if then in self.steps:
                    await self.steps[then]()
            case {"from": "client"}:
                await self.client.send(self._out(line))
            case {"from": "engine"}:
                assert self.engine is not None
                await self.engine.wait_for_connections(1)
                if line.get("frame", {}).get("type") != "hello":
                    await self.engine.wait_for_frames(max(1, self._heard_of_relay))
                await self.engine.connections[-1].send(self._out(line))
            case {"from": "relay"}:
                self._compare(line, await self._next_of_relay(line["frame"]["type"]))
            case {"from": "server"}:
                await self._expect(line)

    async def _next_of_relay(self, kind: str) -> str:
        """The relay's next frame of this type: transcripts leave out what they are not about."""
        assert self.engine is not None
        while True:
            self._heard_of_relay += 1
            await self.engine.wait_for_frames(self._heard_of_relay)
            frame = self.engine.frames[self._heard_of_relay - 1]
            if json.loads(frame)["type"] == kind:
                return frame

    async def _expect(self, line: dict[str, Any]) -> None:
        """The next frame is this line, behind repeated progress; the pieces of an answer may be more than shown.

        A document's states on the way to the one that is written may be told as well.
        """
        if "text" in line:  # an engine's own frame, which need not be JSON
            self._compare(line, await text(self.client))
            return
        wanted = line.get("frame", {}).get("type")
        status = line.get("frame", {}).get("document", {})
        while True:
            frame = self._early.pop(0) if wanted == "document" and self._early else await text(self.client)
            data = json.loads(frame)
            if "seq" in line.get("frame", {}) and data.get("type") == "document":
                self._early.append(frame)
            elif wanted not in (None, MAY_REPEAT) and data.get("type") == MAY_REPEAT:
                self._count(data)
            elif not (wanted == data.get("type") == "document" and data["document"]["status"] != status["status"]):
                break
        if wanted == "delta":
            frame = await self._joined(frame, line["frame"]["text"])
        self._compare(line, frame)

    async def _joined(self, frame: str, whole: str) -> str:
        data = json.loads(frame)
        while data["type"] == "delta" and len(data["text"]) < len(whole):
            self._count(data)
            more = json.loads(await text(self.client))
            assert more["type"] == "delta", more
            data = more | {"text": data["text"] + more["text"]}
        return json.dumps(data)

    def _out(self, line: dict[str, Any]) -> str:
        return str(line["text"]) if "text" in line else json.dumps(self._filled(line["frame"]))

    def _filled(self, value: Any) -> Any:
        match value:
            case str():
                return self._given.get(value, self._known.get(value, value))
            case list():
                return [self._filled(item) for item in value]
            case dict():
                return {name: self._filled(item) for name, item in value.items()}
        return value

    def _compare(self, line: dict[str, Any], got: str) -> None:
        if "text" in line:
            assert got == line["text"]
            return
        wanted, frame = dict(line["frame"]), json.loads(got)
        assert set(frame) == set(wanted), (wanted, frame)
        if "seq" in wanted:
            self._check_seq(wanted["seq"], frame)
        is_free = wanted.get("type") == MAY_REPEAT and not isinstance(wanted["done"], str)
        free = {"seq", "done"} if is_free else {"seq"}
        for name in wanted.keys() - free:
            self._match(wanted[name], frame[name])

    def _match(self, wanted: Any, got: Any) -> None:
        match wanted:
            case "…":
                pass
            case str() if wanted.startswith("≤ "):
                assert got <= int(wanted[2:].replace(",", "")), (wanted, got)
            case str() if wanted in self._given:
                assert got == self._given[wanted], (wanted, got)
            case str() if _NAME.fullmatch(wanted):
                assert self._known.setdefault(wanted, got) == got, (wanted, got)
            case dict():
                assert isinstance(got, dict)
                assert set(got) == set(wanted), (wanted, got)
                for name, value in wanted.items():
                    self._match(value, got[name])
            case ["…"]:
                assert isinstance(got, list)
            case list():
                assert isinstance(got, list)
                assert len(got) == len(wanted), (wanted, got)
                for one, other in zip(wanted, got, strict=True):
                    self._match(one, other)
            case _:
                assert got == wanted, (wanted, got)

    def _check_seq(self, written: int, frame: dict[str, Any]) -> None:
        if written in self._seq_of:  # told again
            assert frame["seq"] == self._seq_of[written], frame
        else:
            self._count(frame)
            self._seq_of[written] = frame["seq"]

    def _count(self, frame: dict[str, Any]) -> None:
        if "seq" in frame:
            assert frame["seq"] == self.last_seq + 1, frame
            self.last_seq = frame["seq"]
