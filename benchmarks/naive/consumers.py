"""The rival's consumers: a connection to the engine per browser socket, a send per reply."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any
from uuid import uuid4

import aiohttp
from channels.generic.websocket import AsyncWebsocketConsumer
from PyPDF2 import PdfReader

from benchmarks.naive.settings import ENGINE_URL


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Passes questions on, a PDF's text in them, and sends each reply as it comes."""

    async def connect(self) -> None:
        self.session = aiohttp.ClientSession()
        self.engine = await self.session.ws_connect(ENGINE_URL)
        await self.accept()
        self.replies = asyncio.create_task(self.pass_on())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        question = json.loads(text_data or bytes_data or "{}")
        file = question.pop("file", None)
        if file is not None:
            text = await asyncio.to_thread(text_of, base64.b64decode(file["content"]))
            question["message"] += f"\n\n--- File Content: {file['name']} ---\n{text}\n--- End of File ---"
        await self.engine.send_str(json.dumps(question))

    async def pass_on(self) -> None:
        async for reply in self.engine:
            if reply.type == aiohttp.WSMsgType.TEXT:
                await self.answer(reply.data)

    async def answer(self, text: str) -> None:
        await self.send(text_data=text)

    async def disconnect(self, code: int) -> None:
        del code
        self.replies.cancel()
        await self.session.close()


class LayerConsumer(ChatConsumer):
    """The same with every reply through the channel layer, to a group of the socket's own."""

    async def connect(self) -> None:
        self.group = f"chat-{uuid4().hex}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await super().connect()

    async def answer(self, text: str) -> None:
        await self.channel_layer.group_send(self.group, {"type": "chat.reply", "text": text})

    async def chat_reply(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        await self.channel_layer.group_discard(self.group, self.channel_name)


def text_of(pdf: bytes) -> str:
    """The text of a PDF, page by page."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return "\n\n".join(f"--- Page {number} ---\n{page.extract_text()}" for number, page in enumerate(pages, 1))
