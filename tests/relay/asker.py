"""Somebody who asks in any of the three dialects."""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.relay.world import World, event, question

DIALECTS = ("plain", "query", "v1")


class Asker:
    """Somebody who asks in one dialect and hears how it ends."""

    def __init__(self, world: World, dialect: str) -> None:
        self.dialect = dialect
        self._world = world
        self._asked = 0

    async def __aenter__(self) -> Asker:
        token = self._world.token()
        match self.dialect:
            case "plain":
                self._opening = self._world.socket(token=token, dialect="miva.plain")
            case "query":
                self._opening = self._world.socket(query=f"token={token}")
            case _:
                self._opening = self._world.socket(token=token, dialect="miva.v1")
        self.client: ClientConnection = await self._opening.__aenter__()
        if self.dialect != "plain":
            await event(self.client)
        return self

    async def __aexit__(self, *reason: Any) -> None:
        await self._opening.__aexit__(*reason)

    async def ask(self, words: str) -> str:
        """Asks, and returns the code of the error or the answer."""
        await self.send(words)
        return await self.end()

    async def send(self, words: str) -> None:
        self._asked += 1
        match self.dialect:
            case "plain":
                await self.client.send(question(words, None))
            case "query":
                await self.client.send(json.dumps({"query": words}))
            case _:
                ask = {"type": "ask", "id": str(self._asked), "conversation": "c", "message": words}
                await self.client.send(json.dumps(ask))

    async def end(self) -> str:
        while True:
            found = await event(self.client)
            if self.dialect == "plain":
                return str(found.get("code") or found.get("message") or found.get("response"))
            if found["type"] == "error":
                return str(found["code"])
            if found["type"] == "done":
                return str(found["response" if self.dialect == "query" else "text"])
