"""Asks an OpenAI-compatible endpoint over HTTP, word by word, within bounds of time and size."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from urllib.parse import urlsplit

import aiohttp

from miva.engine.llm import completion
from miva.engine.llm.config import Endpoint, Patience
from miva.engine.llm.failures import ModelFailed
from miva.engine.llm.task import Ending, Prompt

MAX_ANSWER = 1_000_000
"""Bytes of text after which an answer is given up."""
MAX_RETRY_AFTER_S = 20.0
ATTEMPTS = 3
_MAX_BODY = 64_000  # of an error, or of the list of models
_MODELS_S = 10.0
_DRAIN_S = 0.1
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529})
_REASONS = {
    401: "it does not take the key",
    403: "it does not let this key use the model",
    404: "it does not have this model, or nothing answers at this address",
    413: "the question is too large for it",
    429: "it has too much to do",
}
# Of models in the order that an endpoint lists them, the first that can write.
_CANNOT_WRITE = ("embed", "rerank", "whisper", "tts", "guard", "clip", "stable-diffusion", "bge-", "minilm")


class _Refused(Exception):
    """This endpoint will not answer, now or later; the text says why, and `own` is what the endpoint says itself."""

    def __init__(self, words: str, own: str = "") -> None:
        super().__init__(words)
        self.own = own


class _Passing(Exception):
    """It may answer when asked again, after so many seconds where it said so; `own` as in `_Refused`."""

    def __init__(self, words: str, after: float | None = None, own: str = "") -> None:
        super().__init__(words)
        self.after = after
        self.own = own


class Connections:
    """The connections to all endpoints, kept open between questions."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def session(self, connect_s: float) -> aiohttp.ClientSession:
        """The one session; made at first need, because it belongs to a running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
                headers={"User-Agent": "miva", "Accept-Encoding": "identity"},
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close them; a later question opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class OpenAiModel:
    """One model of one endpoint. Redirects are not followed: the key goes where it was meant to go and nowhere else."""

    def __init__(self, endpoint: Endpoint, patience: Patience, connections: Connections) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._connections = connections
        self._headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._found = endpoint.model

    @property
    def name(self) -> str:
        """The model's name; "" while it is the endpoint's first, and the endpoint has not been asked yet."""
        return self._found

    async def write(self, prompt: Prompt, ending: Ending) -> AsyncGenerator[str, None]:
        """The answer in pieces as they come; closing the iterator closes the connection.

        Asked again, after a pause, only before the first piece. Raises `ModelFailed`.
        """
        deadline = time.monotonic() + self._patience.total_s
        given = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with aclosing(self._once(prompt, ending, deadline)) as pieces:
                    async for piece in pieces:
                        given += len(piece)
                        yield piece
                return
            except _Refused as why:
                raise self._failed(why, given) from None
            except _Passing as why:
                pause = _pause(why.after, attempt, self._patience.pause_s)
                too_long = pause > MAX_RETRY_AFTER_S or time.monotonic() + pause > deadline
                if given or attempt == ATTEMPTS or too_long:
                    asks = f"; it asks for {why.after:.0f} seconds of rest" if too_long and why.after else ""
                    raise self._failed(why, given, asks) from None
            await asyncio.sleep(pause)

    def _failed(self, why: _Refused | _Passing, given: int, asks: str = "") -> ModelFailed:
        name = self._found or "The language model"
        own = f" ({why.own})" if why.own else ""
        far = f", after {given} characters of its answer" if given else ""
        return ModelFailed(
            f"{name} at {urlsplit(self._endpoint.url).netloc} failed: {why}{own}{asks}{far}.",
            told=f"{name} failed: {why}{asks}{far}.",
        )

    async def _once(self, prompt: Prompt, ending: Ending, deadline: float) -> AsyncGenerator[str, None]:
        asked = time.monotonic()
        limit = min(deadline, asked + self._patience.first_s)
        response = await self._ask(prompt, limit)
        try:
            reader = completion.Reader()
            size = signs = 0
            while True:
                data = await self._read(response, limit, deadline, bool(reader.signs))
                for text in _texts(reader, data):
                    size += len(text.encode(errors="replace"))
                    if size > MAX_ANSWER:
                        raise _Refused("it did not come to an end")
                    yield text
                if reader.ended or not data:
                    break
                if reader.signs > signs:
                    signs = reader.signs
                    limit = min(deadline, time.monotonic() + self._patience.between_s)
            if not reader.ended:
                raise _Passing("it closed the connection in the middle of its answer")
            if not size:
                raise _Refused("it answered with nothing")
            ending.cut = reader.cut
            await self._drain(response)
        except completion.Garbage as why:
            raise _Refused(f"it sent {why}") from None
        except completion.Refusal as why:
            raise _Refused("it reported an error", self._own_words(str(why))) from None
        finally:
            response.close()  # of an answer that was read to its end the connection is kept all the same

    async def _ask(self, prompt: Prompt, limit: float) -> aiohttp.ClientResponse:
        body = {
            "model": await self._model(limit),
            "messages": prompt.messages,
            "temperature": prompt.temperature,
            "max_tokens": prompt.max_tokens,
            "stream": True,
        }
        return await self._open("POST", "/chat/completions", limit, body)

    async def _model(self, limit: float) -> str:
        """The model's name, asked for where the settings leave it to the endpoint."""
        if self._found:
            return self._found
        limit = min(limit, time.monotonic() + _MODELS_S)
        response = await self._open("GET", "/models", limit, None)
        try:
            listed = json.loads(await self._body(response, limit))
            names = [each["id"] for each in listed["data"] if isinstance(each["id"], str)]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _Refused("its list of models cannot be read; set MIVA_LLM_MODEL") from None
        finally:
            response.close()
        able = [name for name in names if not any(word in name.lower() for word in _CANNOT_WRITE)]
        if not able:
            raise _Refused("it lists no model that can write; set MIVA_LLM_MODEL")
        self._found = able[0]
        return self._found

    async def _open(self, method: str, door: str, limit: float, body: object) -> aiohttp.ClientResponse:
        """Ask and wait for the head of the answer. Raises `_Refused` and `_Passing`."""
        session = self._connections.session(self._patience.connect_s)
        url = self._endpoint.url + door
        try:
            async with asyncio.timeout(max(0, limit - time.monotonic())):
                response = await session.request(method, url, json=body, headers=self._headers, allow_redirects=False)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            raise _Refused("its certificate is not trusted") from None
        except aiohttp.ConnectionTimeoutError:
            raise _Passing("it cannot be reached in time") from None
        except TimeoutError:
            raise _Refused(self._silence()) from None
        except aiohttp.ClientConnectorError as why:
            raise _Passing(f"it cannot be reached{_os_words(why.os_error)}") from None
        except (aiohttp.ClientConnectionError, ConnectionError):
            raise _Passing("it closed the connection without an answer") from None
        except (aiohttp.ClientError, ValueError):
            raise _Refused("what it sent is no HTTP") from None
        if response.status != 200:
            try:
                await self._complain(response, limit)
            finally:
                response.close()
        return response

    async def _complain(self, response: aiohttp.ClientResponse, limit: float) -> None:
        status = response.status
        try:
            own = completion.reason(json.loads(await self._body(response, limit)))
        except (ValueError, RecursionError, _Passing, _Refused):
            own = ""
        if 300 <= status < 400:
            raise _Refused(f"it sends elsewhere (status {status}), which is not followed; set the address it sends to")
        words = _REASONS.get(status, f"it answered with status {status}")
        # What it says to a wrong key may hold the key.
        own = self._own_words(own) if status not in (401, 403) else ""
        if status in _PASSING:
            raise _Passing(words, _retry_after(response.headers), own)
        raise _Refused(words, own)

    async def _read(self, response: aiohttp.ClientResponse, limit: float, deadline: float, began: bool) -> bytes:
        """More of the answer; nothing at its end. Raises `_Refused` and `_Passing`."""
        try:
            async with asyncio.timeout(max(0, limit - time.monotonic())):
                return await response.content.readany()
        except TimeoutError:
            if limit >= deadline:
                raise _Refused(f"it took longer than {self._patience.total_s:g} seconds") from None
            raise _Refused(self._silence(began)) from None
        except (aiohttp.ClientError, ConnectionError):
            raise _Passing("it closed the connection in the middle of its answer") from None

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        """Read what stands behind the end, so that the connection can be used again."""
        limit = time.monotonic() + _DRAIN_S
        with contextlib.suppress(_Refused, _Passing):
            while await self._read(response, limit, limit, True):
                pass

    async def _body(self, response: aiohttp.ClientResponse, limit: float) -> bytes:
        """A short answer as a whole; of a long one the beginning."""
        body = b""
        while len(body) < _MAX_BODY and (data := await self._read(response, limit, limit + 1, False)):
            body += data
        return body

    def _silence(self, began: bool = False) -> str:
        if began:
            return f"it fell silent for {self._patience.between_s:g} seconds"
        return f"it did not begin to answer within {self._patience.first_s:g} seconds"

    def _own_words(self, words: str) -> str:
        """An endpoint's words, unless a key is among them."""
        key = self._endpoint.api_key
        return "" if key and key in words else words


def _texts(reader: completion.Reader, data: bytes) -> Iterator[str]:
    """The text in `data`, and what was held back where that is the end."""
    yield from reader.feed(data)
    if reader.ended or not data:
        yield from reader.close()


def _pause(after: float | None, attempt: int, first: float) -> float:
    """Seconds to wait before asking again; spread, so that many questions do not come back at once."""
    return after if after is not None else first * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < 1e9 else None


def _os_words(error: OSError) -> str:
    """In brackets what the operating system says, without the addresses that asyncio puts there."""
    known = error.errno is not None and error.errno > 0  # a failed look-up of a name has negative numbers
    words = os.strerror(error.errno) if known and error.errno else error.strerror or ""
    return f" ({words.lower()})" if words else ""
