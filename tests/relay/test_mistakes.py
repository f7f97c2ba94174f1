"""The rows of contract section 5: each mistake is answered with its code, the socket lives, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from functools import cache
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.engines import ScriptedEngine, answering, echo, silent
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S
from tests.relay import bad_files
from tests.relay.world import World, assert_silent, closed, event, file, question, text, until

SMALL = make_pdf(["Alpha"])
FILE = file(SMALL)
LOCKED = bad_files.locked("behind a lock", "right")
slow, bomb = cache(bad_files.slow), cache(bad_files.bomb)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)

FRAMES: dict[str, tuple[str | bytes, str, str | None]] = {
    "half a frame": ("{", "bad_json", None),
    "no JSON": ("hello?", "bad_json", None),
    "nothing": ("", "bad_json", None),
    "not a number": ('{"message": NaN}', "bad_json", None),
    "deep": ("[" * 100_000, "bad_json", None),
    "binary": (b'{"message": "q"}', "bad_frame", None),
    "empty binary": (b"", "bad_frame", None),
    "array": ('["message"]', "bad_frame", None),
    "string": ('"message"', "bad_frame", None),
    "number": ("5", "bad_frame", None),
    "null": ("null", "bad_frame", None),
    "no message": (json.dumps({"type": "chat", "unique_id": "u"}), "bad_field", "message"),
    "message of another kind": (question(5), "bad_field", "message"),  # type: ignore[arg-type]
    "empty message": (question(" "), "bad_field", "message"),
    "long message": (question("x" * 100_001), "bad_field", "message"),
    "another type": (question("q", type="shout"), "bad_field", "type"),
    "unique_id of another kind": (question("q", {"a": 1}), "bad_field", "unique_id"),
    "long unique_id": (question("q", "u" * 256), "bad_field", "unique_id"),
    "unique_id in other letters": (json.dumps({"message": "q", "Unique_ID": "u"}), "bad_field", "Unique_ID"),
    "unique_id twice": ('{"message": "q", "unique_id": "mine", "unique_id": "yours"}', "bad_json", None),
    "message twice": ('{"message": "q", "message": "q"}', "bad_json", None),
    "a name twice in a file": ('{"message": "q", "file": {"name": "a", "name": "b"}}', "bad_json", None),
    "file of another kind": (question("q", file="a.pdf"), "bad_field", "file"),
    "files of another kind": (question("q", files={"a": 1}), "bad_field", "files"),
    "too many files": (question("q", files=[FILE] * 21), "bad_field", "files"),
    "file without content": (question("q", file={"name": "a.pdf"}), "bad_field", "file.content"),
    "content of another kind": (question("q", file=FILE | {"content": 5}), "bad_field", "file.content"),
    "name of another kind": (question("q", file=FILE | {"name": []}), "bad_field", "file.name"),
    "media type of another kind": (question("q", files=[FILE | {"type": 5}]), "bad_field", "files.type"),
    "password of another kind": (question("q", file=FILE | {"password": 5}), "bad_field", "file.password"),
}
FILES: dict[str, tuple[Any, str]] = {
    "picture": (lambda: file(PNG, "a.png", "image/png"), "unsupported_type"),
    "text that is binary": (lambda: file(bytes(range(32)) * 9, "a.txt", "text/plain"), "unsupported_type"),
    "no base64": (lambda: FILE | {"content": "@@@"}, "bad_base64"),
    "half of base64": (lambda: FILE | {"content": "QUJDR"}, "bad_base64"),
    "letters that are not ASCII": (lambda: FILE | {"content": "QUJDRäöü"}, "bad_base64"),
    "long text that is no base64": (lambda: FILE | {"content": "QUJD" * 100_000 + "@"}, "bad_base64"),
    "no PDF": (lambda: file(b"hello, this is text"), "not_a_pdf"),
    "nothing": (lambda: file(b""), "not_a_pdf"),
    "locked": (lambda: file(LOCKED), "encrypted_pdf"),
    "wrong password": (lambda: file(LOCKED, password="wrong"), "encrypted_pdf"),
    "odd password": (lambda: file(LOCKED, password="\ud800\x00"), "encrypted_pdf"),
    "broken": (lambda: file(b"%PDF-1.7\nnothing of a PDF follows"), "broken_pdf"),
    "page without text": (lambda: file(bad_files.picture()), "no_text"),
    "text file without text": (lambda: file(b"", "a.txt", "text/plain"), "no_text"),
    "large": (lambda: file(make_pdf(["x"], size=2**20 + 1)), "file_too_large"),
    "pages": (lambda: file(make_pdf(["x"] * 11)), "too_many_pages"),
    "slow": (lambda: file(slow()), "extraction_timeout"),
}


async def refused(client: ClientConnection, code: str, field: str | None = None) -> dict[str, Any]:
    """The next frame, which is this error of the plain dialect in words."""
    found: dict[str, Any] = await event(client)
    assert (found.get("code"), found.get("field")) == (code, field), found
    assert found.keys() - {"retry_after"} == {"error", "code"} | ({"field"} if field else set())
    assert found["error"][0].isupper()
    assert found["error"].endswith((".", "?"))
    assert "/" not in found["error"]
    return found


async def answered(client: ClientConnection, words: str) -> None:
    """A normal question is answered with nothing before it."""
    await client.send(question(words, None))
    found = await event(client)
    assert found.get("message") == words, found


async def costs_nobody_anything(world: World, frame: str | bytes, code: str, field: str | None) -> None:
    """The mistake is answered; the same socket and another client's go on as if nothing had been."""
    async with (
        world.engine(echo) as engine,
        world.socket(token=world.token()) as client,
        world.socket(token=world.token()) as neighbour,
    ):
        await client.send(frame)
        await answered(neighbour, "beside")
        await refused(client, code, field)
        await answered(client, "still there?")
        await answered(neighbour, "and here?")
        assert len(engine.frames) == 3


@pytest.mark.parametrize("row", FRAMES)
async def test_a_mistake_in_a_frame(strict: World, row: str) -> None:
    await costs_nobody_anything(strict, *FRAMES[row])


@pytest.mark.parametrize("row", FILES)
async def test_a_file_that_cannot_be_read(strict: World, row: str) -> None:
    make, code = FILES[row]
    await costs_nobody_anything(strict, question("q", None, file=make()), code, None)


async def test_a_file_that_takes_too_much_memory(relay: World) -> None:
    """Not with the small bounds: on a busy machine four seconds may be over before the memory is full."""
    await costs_nobody_anything(relay, question("q", None, file=file(bomb())), "extraction_memory", None)


async def test_one_bad_file_among_good_ones_refuses_the_question(strict: World) -> None:
    files = [FILE, file(b"hello"), FILE]
    await costs_nobody_anything(strict, question("q", None, files=files), "not_a_pdf", None)


async def test_the_right_password_opens_a_locked_pdf(strict: World) -> None:
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        await client.send(question("q", None, file=file(LOCKED, password="right")))
        assert "behind a lock" in (await event(client))["message"]
        await client.send(question("q", None, file=file(LOCKED)))
        await refused(client, "encrypted_pdf")


V1: dict[str, tuple[str | bytes, str, str | None]] = {
    "half a frame": ("{", "bad_json", None),
    "array": ("[]", "bad_frame", None),
    "binary": (b"12", "bad_frame", None),
    "no type": ("{}", "bad_field", "type"),
    "no id": (json.dumps({"type": "ask", "message": "q"}), "bad_field", "id"),
    "no turn": (json.dumps({"type": "cancel"}), "bad_field", "turn"),
    "a turn that is none": (json.dumps({"type": "cancel", "turn": "x"}), "not_found", None),
    "a document that is none": (
        json.dumps({"type": "ask", "id": "1", "message": "q", "documents": ["x"]}),
        "not_found",
        None,
    ),
    "too long": (json.dumps({"type": "ask", "id": "3", "message": "q" * 100_001}), "bad_field", "message"),
    "no size": (json.dumps({"type": "upload", "id": "4", "name": "a.pdf"}), "bad_field", "size"),
    "no number to go on from": (
        json.dumps({"type": "resume", "id": "5", "conversation": "c", "after": "x"}),
        "bad_field",
        "after",
    ),
    "no base64": (
        json.dumps({"type": "ask", "id": "2", "message": "q", "files": [FILE | {"content": "@"}]}),
        "bad_base64",
        None,
    ),
}


@pytest.mark.parametrize("row", V1)
async def test_a_mistake_of_a_v1_client(strict: World, row: str) -> None:
    frame, code, field = V1[row]
    async with strict.engine(echo), strict.socket(dialect="miva.v1", token=strict.token()) as client:
        await until(client, "hello")
        await client.send(frame)
        found = await event(client)
        assert (found["type"], found["code"], found.get("field")) == ("error", code, field)
        assert "turn" not in found
        own_id = re.search(r'"id": "(.)"', frame) if isinstance(frame, str) else None
        assert found.get("id") == (own_id[1] if own_id else None)
        await client.send('{"type": "ping"}')
        assert await event(client) == {"type": "pong"}
        await client.send(json.dumps({"type": "ask", "id": "after", "message": "still there?"}))
        assert (await until(client, "done"))["text"] == "still there?"


@pytest.mark.parametrize("bad", ["no PDF", "page without text"])
@pytest.mark.parametrize("dialect", ["miva.plain", "miva.v1"])
async def test_of_several_files_the_bad_one_is_named_and_the_good_ones_are_read(
    strict: World, bad: str, dialect: str
) -> None:
    make, code = FILES[bad]
    files = [FILE | {"name": "good.pdf"}, make() | {"name": "bad.pdf"}, file(b"It is.", "also good.txt", "text/plain")]
    async with strict.engine(echo), strict.socket(dialect=dialect, token=strict.token()) as client:
        asked = {"type": "ask", "id": "a"} if dialect == "miva.v1" else {"type": "chat"}
        await client.send(json.dumps(asked | {"message": "q", "files": files}))
        while "code" not in (found := await event(client)):
            pass
        assert found["code"] == code
        assert "“bad.pdf”" in (found.get("message") or found["error"])
    if dialect == "miva.v1":
        states = "SELECT name, status, error FROM miva_document ORDER BY created_at DESC LIMIT 3"
        async with asyncio.timeout(PATIENCE_S):
            while "reading" in {status for _, status, _ in strict.rows(states)}:
                await asyncio.sleep(0.1)
        assert ("good.pdf", "ready", "") in strict.rows(states)
        assert ("also good.txt", "failed", "busy") not in strict.rows(states)


@pytest.mark.parametrize("row", ["locked", "no PDF", "page without text", "pages", "large"])
async def test_a_v1_question_with_a_bad_file_fails_and_the_next_one_does_not(strict: World, row: str) -> None:
    make, code = FILES[row]
    async with strict.engine(echo), strict.socket(dialect="miva.v1", token=strict.token()) as client:
        await until(client, "hello")
        await client.send(
            json.dumps({"type": "ask", "id": "a", "conversation": "c", "message": "q", "files": [make()]})
        )
        while (found := await event(client))["type"] != "error":
            pass
        assert found["code"] == code
        await client.send(json.dumps({"type": "ask", "id": "b", "conversation": "c", "message": "again"}))
        assert (await until(client, "done"))["text"] == "again"


async def test_what_belongs_to_somebody_else_does_not_exist(strict: World) -> None:
    alice, bob = strict.token(), strict.token()
    async with (
        strict.engine(silent) as engine,
        strict.socket(dialect="miva.v1", token=alice) as hers,
        strict.socket(dialect="miva.v1", token=bob) as his,
    ):
        await until(hers, "hello")
        await until(his, "hello")
        await hers.send(
            json.dumps({"type": "ask", "id": "a", "conversation": "c", "message": "private", "files": [FILE]})
        )
        accepted = await until(hers, "accepted")
        await engine.wait_for_frames(1)
        await his.send(json.dumps({"type": "cancel", "turn": accepted["turn"]}))
        assert (await event(his))["code"] == "not_found"
        ask = {"type": "ask", "id": "b", "message": "mine?", "documents": accepted["documents"]}
        await his.send(json.dumps(ask))
        found = await event(his)
        assert (found["code"], found["id"]) == ("not_found", "b")
        await his.send(json.dumps({"type": "ask", "id": "a", "conversation": "c", "message": "the same names"}))
        own = await until(his, "accepted")
        assert (own["seq"], own["message"]) == (1, "the same names")
        assert own["turn"] != accepted["turn"]
        for client, turn in ((hers, accepted["turn"]), (his, own["turn"])):
            await client.send(json.dumps({"type": "cancel", "turn": turn}))
            await until(client, "cancelled")


async def test_too_many_questions_are_told_when_to_come_again(strict: World) -> None:
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        for number in range(40):
            await client.send(question(f"{number}", None))
        found = [await event(client) for _ in range(40)]
        told = [frame["retry_after"] for frame in found if frame.get("code") == "rate_limited"]
        assert told
        assert all(0 < seconds <= 1 for seconds in told)
        assert sum("message" in frame for frame in found) == 40 - len(told) >= 5
        await asyncio.sleep(1.1)
        await answered(client, "now?")


async def test_too_much_on_its_way_is_refused_as_busy(strict: World) -> None:
    large = file(make_pdf(["large"], size=2**20 - 10))
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        await client.send(question("slow", None, file=file(slow())))
        for number in range(3):
            await client.send(question(f"{number}", None, file=large))
        assert [(await event(client)).get("code") for _ in range(2)] == ["busy", "extraction_timeout"]
        assert [(await event(client))["message"][0] for _ in range(2)] == ["0", "1"]
        await answered(client, "still there?")


async def test_an_engine_that_is_not_there(strict: World) -> None:
    async with strict.socket(token=strict.token()) as client:
        await client.send(question("q", None))
        await refused(client, "engine_unavailable")
        async with strict.engine(echo):
            await answered(client, "and now?")


async def test_an_engine_that_does_not_answer(strict: World) -> None:
    async with strict.engine(silent), strict.socket(token=strict.token()) as client:
        await client.send(question("q", None))
        await refused(client, "engine_timeout")


async def test_an_engine_that_breaks_the_contract(strict: World) -> None:
    async def binary(_: ScriptedEngine, connection: ServerConnection, frame: str) -> None:
        await connection.send(frame if "well" in frame else b"\x00\x01")

    async with strict.engine(binary), strict.socket(token=strict.token()) as client:
        await client.send(question("q", None))
        await refused(client, "engine_error")
        await answered(client, "is all well?")


@pytest.mark.parametrize("how", ["nobody", "subprotocol", "authorization", "query", "empty"])
async def test_who_may_not_come_in_is_told_by_4401(strict: World, how: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "nobody": {},
        "subprotocol": {"token": "0" * 40, "dialect": "miva.v1"},
        "authorization": {"authorization": "Token nobody"},
        "query": {"query": "token=a.b.c"},
        "empty": {"query": "token="},
    }
    async with strict.socket(**options[how]) as client:
        assert await closed(client) == 4401


async def test_more_than_twenty_mistakes_in_ten_seconds_close_the_socket(strict: World) -> None:
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        for _ in range(20):
            await client.send("{")
            await refused(client, "bad_json")
        await answered(client, "twenty are forgiven")
        await client.send("{")
        await refused(client, "bad_json")
        # Daphne can send no code below 3000 but 1000.
        assert await closed(client) == (1008 if strict.server == "uvicorn" else 4008)


async def test_more_sockets_than_allowed_close_with_4429(strict: World) -> None:
    token = strict.token()
    async with strict.engine(echo), strict.socket(token=token) as one, strict.socket(token=token) as two:
        async with strict.socket(token=token) as three:
            for number, client in enumerate((one, two, three)):
                await answered(client, f"{number}")
            async with strict.socket(token=token) as four:
                assert await closed(four) == 4429
            async with strict.socket(token=strict.token()) as somebody_else:
                await answered(somebody_else, "not my sockets")
        await asyncio.sleep(0.3)
        async with strict.socket(token=token) as again:
            await answered(again, "one went, one came")


async def test_a_frame_over_the_limit_closes_with_1009(strict: World) -> None:
    # uvicorn runs with --ws-max-size 80000000, daphne with the limit that the settings make.
    size = 80_000_001 if strict.server == "uvicorn" else 4_000_000
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        with contextlib.suppress(ConnectionClosed):  # the server need not hear the frame out
            await client.send("x" * size)
        # Daphne drops the connection without a close frame.
        assert await closed(client) == (1009 if strict.server == "uvicorn" else None)
        async with strict.socket(token=strict.token()) as other:
            await answered(other, "somebody else")


async def test_what_an_engine_says_may_be_larger_than_what_clients_may_send(strict: World) -> None:
    long = "x" * 4_000_000
    async with strict.engine(answering(long)):
        async with strict.socket(token=strict.token()) as client:
            await client.send(question("q", None))
            assert await text(client) == long
        async with strict.socket(token=strict.token(), dialect="miva.v1") as client:
            await client.send('{"type": "ask", "id": "q", "message": "q"}')
            assert (await until(client, "done"))["text"] == long


async def test_text_that_is_not_utf8_closes_with_1007(strict: World) -> None:
    async with strict.engine(echo), strict.socket(token=strict.token()) as client:
        await client.send(b'{"message": "\xff\xfe"}', text=True)
        # Daphne drops the connection without a close frame.
        assert await closed(client) in ({1007} if strict.server == "uvicorn" else {1007, None})


@pytest.mark.parametrize("path", ["ws/", "ws/chat/x", "ws/other/", "", "ws/chat//", "WS/chat/"])
async def test_an_unknown_socket_path_is_refused(strict: World, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await strict.socket(path=path, token=strict.token())
    # Daphne cannot refuse with another status.
    assert caught.value.response.status_code == (404 if strict.server == "uvicorn" else 403)


async def test_the_address_works_without_its_last_slash(strict: World) -> None:
    async with strict.engine(echo), strict.socket(path="ws/chat", token=strict.token()) as client:
        await answered(client, "here?")
        await assert_silent(client)
