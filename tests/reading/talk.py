"""What the tests of reading say to a server over its socket, and the engine that answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from tests.engines import Script, ScriptedEngine
from tests.relay.world import World, event, until

ENDS = {"done", "cancelled", "error"}
WORDS = ("Ada ", "Lovelace ", "wrote ", "it.")


def question(message: str = "Who?", conversation: str = "c", **more: Any) -> dict[str, Any]:
    """A frame that asks, under an id of its own."""
    return {"type": "ask", "id": str(uuid4()), "conversation": conversation, "message": message} | more


def resume(after: int, conversation: str = "c", **more: Any) -> dict[str, Any]:
    return {"type": "resume", "conversation": conversation, "after": after} | more


async def say(client: ClientConnection, frame: dict[str, Any]) -> None:
    await client.send(json.dumps(frame))


async def read(client: ClientConnection, to: int) -> list[Any]:
    """The events of a conversation up to and with this number."""
    found = [await event(client)]
    while found[-1].get("seq") != to:
        found.append(await event(client))
    return found


async def whole_answer(client: ClientConnection) -> list[Any]:
    """The events up to the end of a turn."""
    found = [await event(client)]
    while found[-1]["type"] not in ENDS:
        found.append(await event(client))
    return found


def numbers(events: list[Any]) -> list[int]:
    return [found["seq"] for found in events]


@asynccontextmanager
async def tab(world: World, guest: str) -> AsyncIterator[ClientConnection]:
    """A socket of the page in a guest's browser, which has been greeted."""
    async with world.socket(dialect="miva.v1", guest=guest) as client:
        await until(client, "hello")
        yield client


def piece(text: str) -> str:
    return json.dumps({"type": "stream", "content": text})


def engine(world: World, script: Script | None = None) -> AbstractAsyncContextManager[ScriptedEngine]:
    """An engine at the address of a world; without a script it says WORDS and ends."""
    return world.engine(script or answers)


async def answers(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
    if json.loads(frame)["type"] == "chat":
        for word in WORDS:
            await connection.send(piece(word))
        await connection.send('{"type": "done"}')
