"""Examines a running server from outside, through its real socket, and tells in words what works and what to change."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin, Subprotocol

from miva.doctor_http import LOCAL, Answer, call, file_form
from miva.doctor_words import (
    DISK,
    ENGINE,
    FRAMES,
    NGINX,
    ORIGIN,
    TOKEN,
    Finding,
    Trouble,
    cut_off,
    fine,
    host_advice,
    wrong,
)
from miva.migrated import ADVICE as MIGRATE
from miva.sample_pdf import GOLD, QUESTION, sample_pdf

PDF_BYTES = 2 * 2**20
LARGE_FRAME = 17 * 2**20
"""Above what uvicorn takes when nothing is said (16 MiB); sent only where the server says that it takes so much."""
PATIENCE_S = 60.0
_CODES = {"engine_unavailable": ENGINE, "engine_timeout": ENGINE, "engine_error": ENGINE, "unauthenticated": TOKEN}


class Doctor:
    """Examines the server at `url` (http or https), as the owner of `token` or as nobody."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/") + "/"
        self._host = urlsplit(url).hostname or ""
        self._socket_url = "ws" + self._url.removeprefix("http") + "ws/chat/"
        self._headers = {"Authorization": f"Token {token}"} if token else {}
        self._pdf = sample_pdf(PDF_BYTES)

    async def examine(self) -> AsyncIterator[Finding]:
        """The findings, one by one; stops where nothing further can be told. Never raises for what a server does."""
        try:
            yield await self._reach()
            async for finding in self._health():
                yield finding
            yield await self._as_a_page()
        except Trouble as trouble:
            yield trouble.finding
            return
        frames_are_cut = False
        for step in (self._plain_question, self._large_frames, self._document):
            if step == self._large_frames and frames_are_cut:
                continue  # smaller ones do not pass
            try:
                yield await step()
            except Trouble as trouble:
                frames_are_cut = trouble.finding.advice == FRAMES
                yield trouble.finding

    async def _reach(self) -> Finding:
        answer = await self._call("api/health/live/")
        if answer.status == 400:
            raise Trouble(f"The server does not know the name “{self._host}”: {answer.error}", host_advice(self._host))
        if answer.status in {502, 503, 504}:
            words = f"A proxy answers at {self._url}, but it does not reach the server behind it ({answer.status})."
            raise Trouble(words, f"See that the server runs, and that the proxy has its right address.\n{NGINX}")
        if answer.data != {"status": "alive"}:
            moved = f", see {answer.headers['Location']}" if answer.headers["Location"] else ""
            words = f"Something else answers at {self._url} (status {answer.status}{moved})."
            raise Trouble(words, "Give the address of the chat page: --url https://chat.example.org")
        return fine(f"A server answers at {self._url}")

    async def _health(self) -> AsyncIterator[Finding]:
        health = (await self._call("api/health/")).data or {}
        if health.get("database") == "not migrated":
            yield wrong("The server's database is not migrated.", MIGRATE)
        elif health.get("database") != "connected":
            yield wrong("The server does not reach its database.", "Look at DATABASE_URL, and whether its server runs.")
        if health.get("redis") == "down":
            yield wrong("The server does not reach Redis.", "Look at REDIS_URL, and whether Redis runs.")
        if health.get("disk", "ok") != "ok":
            yield wrong(f"The server's data folder is {health['disk']}.", DISK)
        if (health.get("engine") or {}).get("status") != "ok":
            yield wrong("The server does not reach its engine.", ENGINE)
        if health.get("status") == "healthy":
            yield fine(f"It is healthy, and its engine is “{health['engine']['name']}”.")

    async def _as_a_page(self) -> Finding:
        """Opens a socket as the page does: with the visitor's cookie and origin."""
        cookies = (await self._call("", seconds=PATIENCE_S)).headers.get_all("Set-Cookie") or []
        cookie = "; ".join(line.partition(";")[0] for line in cookies)
        parts = urlsplit(self._url)
        origin = Origin(f"{parts.scheme}://{parts.netloc}")
        headers = self._headers | ({"Cookie": cookie} if cookie else {})
        await self._greeted(await self._open("miva.v1", origin=origin, headers=headers))
        return fine("The socket opens for a page of this address.")

    async def _plain_question(self) -> Finding:
        socket = await self._open("miva.plain", headers=self._headers)
        try:
            # A small frame first: what a large one meets afterwards is then about its size.
            await self._ask(socket, {"message": "Are you there?"}, "A question without a file")
            content = base64.b64encode(self._pdf).decode()
            file = {"name": "doctor.pdf", "type": "application/pdf", "content": content}
            answer = await self._ask(socket, {"message": QUESTION, "file": file}, "A question with a PDF of 2 MB")
        finally:
            await socket.close()
        if GOLD not in answer:
            words = "A question with a PDF of 2 MB is answered, though not with what stands in it."
            return wrong(words, "An engine of your own may do so; the embedded one should not: please report it.")
        return fine("A question with a PDF of 2 MB, in one frame, is answered from it.")

    async def _ask(self, socket: ClientConnection, question: dict[str, Any], what: str) -> str:
        frame = json.dumps({"type": "chat", "unique_id": f"doctor-{uuid4()}", **question})
        await self._send(socket, frame, what)
        answer = await self._next(socket, what, len(frame))
        try:
            data = json.loads(answer)
        except ValueError:
            return answer
        if isinstance(data, dict) and "error" in data and "code" in data:
            raise Trouble(f"{what} is refused: {data['error']} ({data['code']})", _CODES.get(data["code"], ""))
        return answer

    async def _large_frames(self) -> Finding:
        socket = await self._open("miva.v1", headers=self._headers)
        try:
            hello = await self._greeted(socket, close=False)
            largest = int(hello.get("limits", {}).get("max_frame", 0))
            size = min(largest, LARGE_FRAME) - 100
            what = f"A frame of {size / 2**20:.0f} MiB"
            # In `content`, as a file would be: whatever else stands in a frame is bounded much lower.
            await self._send(socket, json.dumps({"type": "ping", "content": "A" * size}), what)
            while (answer := json.loads(await self._next(socket, what, size)))["type"] != "pong":
                if answer["type"] == "error":
                    raise Trouble(f"{what} is refused: {answer['message']} ({answer['code']})")
        finally:
            await socket.close()
        return fine(f"{what} passes; the server takes up to {largest / 2**20:.0f} MiB.")

    async def _document(self) -> Finding:
        body, headers = file_form("doctor.pdf", "application/pdf", self._pdf)
        answer = await self._call(
            "api/document/", method="POST", body=body, headers=self._headers | headers, seconds=PATIENCE_S
        )
        if answer.status == 413 and answer.data is None:
            raise Trouble("A proxy refuses an upload of 2 MB (413).", NGINX)
        if answer.status != 201 or answer.data is None:
            advice = TOKEN if answer.status == 401 else ""
            raise Trouble(f"Uploading a PDF of 2 MB does not work: {answer.error.rstrip('.')}.", advice)
        document = str(answer.data["document_id"])
        try:
            return await self._ask_about(document)
        finally:
            await self._call(f"api/document/{document}/", method="DELETE", headers=self._headers)

    async def _ask_about(self, document: str) -> Finding:
        socket = await self._open("miva.v1", headers=self._headers)
        try:
            await self._greeted(socket, close=False)
            what = "A question about an uploaded PDF"
            question = {"type": "ask", "id": str(uuid4()), "message": QUESTION, "documents": [document]}
            await self._send(socket, json.dumps(question), what)
            while True:
                frame = json.loads(await self._next(socket, what, 0))
                if frame["type"] == "error":
                    raise Trouble(f"{what} fails: {frame['message']} ({frame['code']})", _CODES.get(frame["code"], ""))
                if frame["type"] == "done":
                    return fine("An uploaded PDF of 2 MB can be asked about over miva.v1.")
        finally:
            await socket.close()

    async def _greeted(self, socket: ClientConnection, *, close: bool = True) -> dict[str, Any]:
        try:
            return dict(json.loads(await self._next(socket, "Opening the socket", 0)))
        finally:
            if close:
                await socket.close()

    async def _call(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float = 10,
    ) -> Answer:
        try:
            return await asyncio.to_thread(
                call, self._url + path, method=method, body=body, headers=headers or {}, seconds=seconds
            )
        except ConnectionRefusedError as why:
            advice = "Start the server (`make run`), or give its address: --url http://127.0.0.1:8000"
            raise Trouble(f"Nothing listens at {self._url}", advice) from why
        except ssl.SSLError as why:
            words = f"The secure connection to {self._url} fails: {why.reason or why}"
            raise Trouble(words, "Renew the certificate, or use http:// where the server speaks no https.") from why
        except (OSError, http.client.HTTPException) as why:
            advice = "Look at the address, the network and, where there is one, the proxy."
            raise Trouble(f"{self._url}{path} does not answer: {why or type(why).__name__}", advice) from why

    async def _open(
        self, subprotocol: str, *, headers: dict[str, str], origin: Origin | None = None
    ) -> ClientConnection:
        try:
            return await connect(
                self._socket_url,
                subprotocols=[Subprotocol(subprotocol)],
                origin=origin,
                additional_headers=headers,
                proxy=None if self._host in LOCAL else True,
                compression=None,
                max_size=None,
                open_timeout=15,
            )
        except InvalidStatus as why:
            raise self._refused(why.response.status_code, why.response.body.decode(errors="replace")) from why
        except (InvalidHandshake, OSError, TimeoutError) as why:
            words = f"The server answers, but no socket opens at {self._socket_url}: {why or 'no answer came'}"
            raise Trouble(words, f"A proxy that does not pass the upgrade does this.\n{NGINX}") from why

    def _refused(self, status: int, body: str) -> Trouble:
        if status == 403:
            words = f"The socket is refused with 403{f': {body}' if 0 < len(body) < 300 else '.'}"
            return Trouble(words, host_advice(self._host) if "ALLOWED_HOSTS" in body else ORIGIN)
        if status in {500, 503}:  # the server's own: a proxy that does not reach it was told before
            words = f"The socket's request fails with {status}{f': {body}' if 0 < len(body) < 300 else '.'}"
            return Trouble(words, "The server's log says why.")
        words = f"The server answers, but the socket's request comes back with {status} instead of 101."
        return Trouble(words, f"A proxy that does not pass the upgrade does this.\n{NGINX}")

    async def _send(self, socket: ClientConnection, frame: str, what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await socket.send(frame)
        except ConnectionClosed as why:
            raise cut_off(_code(why), what, len(frame)) from why
        except TimeoutError as why:
            raise Trouble(
                f"{what} cannot be sent within {PATIENCE_S:g} s.", "Look at the network and the proxy."
            ) from why

    async def _next(self, socket: ClientConnection, what: str, size: int) -> str:
        """The next text frame; `size` is of the frame that it answers."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return str(await socket.recv())
        except ConnectionClosed as why:
            raise cut_off(_code(why), what, size) from why
        except TimeoutError as why:
            raise Trouble(f"{what} gets no answer within {PATIENCE_S:g} s.", ENGINE) from why


def _code(why: ConnectionClosed) -> int | None:
    return why.rcvd.code if why.rcvd else None
