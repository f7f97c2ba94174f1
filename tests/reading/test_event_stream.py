"""The log as server-sent events, with `ask` and `cancel` beside it: the same promises where WebSockets are cut."""

from __future__ import annotations

import asyncio
import base64
import http.cookiejar
import json
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from miva.api import event_stream
from miva.identity import Speaker
from miva.models import Owner
from tests.engines import silent
from tests.product import PATIENCE_S, Product
from tests.reading import streams
from tests.reading.conftest import Log, MakeLog, Worlds
from tests.reading.talk import WORDS, engine, numbers, piece, question, resume, say, tab, whole_answer
from tests.relay.world import World, assert_silent, event


def page_of(product: Product) -> dict[str, str]:
    """What the page of a new guest sends with its calls: its cookies, and the proof that they are its own."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(product.url, timeout=PATIENCE_S).close()
    cookies = {cookie.name: cookie.value or "" for cookie in jar}
    return {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "X-CSRFToken": cookies["csrftoken"],
    }


def guest_of(page: dict[str, str]) -> str:
    return page["Cookie"].partition("sessionid=")[2].partition(";")[0]


async def test_a_stream_has_the_very_frames_of_the_socket(any_world: World) -> None:
    page = page_of(any_world.product)
    async with engine(any_world), tab(any_world, guest_of(page)) as client:
        await say(client, question())
        seen = await whole_answer(client)
        async with streams.events(any_world.product, "c", **page) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.headers["x-accel-buffering"] == "no"
            assert "no-store" in stream.headers["cache-control"]
            assert await stream.until("done") == seen
            assert stream.ids == [str(number) for number in numbers(seen)]
            assert stream.comments == 1  # which came before there was anything to tell
            await say(client, question())  # and now live
            assert await stream.until("done") == await whole_answer(client)


async def test_a_question_and_its_answer_need_no_socket_at_all(any_world: World) -> None:
    page = page_of(any_world.product)
    asked = {"type": "ask", "id": "q1", "message": "Who?"}
    async with engine(any_world) as engine_there:
        status, accepted = await streams.ask(any_world.product, "twin", asked, **page)
        assert status == 200
        assert (accepted["type"], accepted["seq"], accepted["position"]) == ("accepted", 1, 0)
        assert (accepted["id"], accepted["conversation"]) == ("q1", "twin")
        async with streams.events(any_world.product, "twin", 0, **page) as stream:
            seen = await stream.until("done")
        assert seen[0] == accepted
        assert seen[-1]["text"] == "".join(WORDS)
        assert await streams.ask(any_world.product, "twin", asked, **page) == (200, accepted)
        assert len(engine_there.frames) == 1


async def test_a_stream_goes_on_behind_the_last_event_that_its_client_has(any_world: World) -> None:
    page = page_of(any_world.product)
    async with engine(any_world, silent) as asked:
        _, accepted = await streams.ask(any_world.product, "c", question(), **page)
        await asked.wait_for_frames(1)
        await asked.connections[0].send(piece("one "))
        async with streams.events(any_world.product, "c", 1, **page) as stream:
            first = await stream.until("delta")
        assert numbers([accepted, *first]) == list(range(1, len(first) + 2))
        await asked.connections[0].send(piece("two"))
        await asked.connections[0].send('{"type": "done"}')
        last = {"Last-Event-ID": str(first[-1]["seq"])}
        async with streams.events(any_world.product, "c", 0, **page, **last) as again:
            rest = await again.until("done")
        assert numbers([*first, *rest]) == list(range(2, len(first) + len(rest) + 2))
        assert rest[-1]["text"] == "one two"


async def test_a_file_in_a_question_over_http_is_read(any_world: World) -> None:
    page = page_of(any_world.product)
    content = b"It is Alpha. " * 300_000  # larger than what other calls may send
    file = {"name": "a.txt", "type": "text/plain", "content": base64.b64encode(content).decode()}
    async with engine(any_world) as asked:
        status, accepted = await streams.ask(any_world.product, "c", question(files=[file]), **page)
        assert status == 200, accepted
        async with streams.events(any_world.product, "c", **page) as stream:
            await stream.until("done")
        assert "It is Alpha." in asked.asked[0]["message"]


async def test_cancel_stops_the_answer(any_world: World) -> None:
    page = page_of(any_world.product)
    async with engine(any_world, silent) as asked:
        _, accepted = await streams.ask(any_world.product, "c", question(), **page)
        await asked.wait_for_frames(1)
        status, answer = await streams.cancel(any_world.product, "c", accepted["turn"], **page)
        assert (status, answer) == (200, {"turn": accepted["turn"]})
        async with streams.events(any_world.product, "c", **page) as stream:
            assert (await stream.until("cancelled"))[-1]["turn"] == accepted["turn"]
        assert (await asked.wait_for_frames(2))[1]["type"] == "cancel"
        assert (await streams.cancel(any_world.product, "c", accepted["turn"], **page))[0] == 200


async def test_a_conversation_is_found_by_its_id_too(world: World) -> None:
    page = page_of(world.product)
    async with engine(world):
        await streams.ask(world.product, "a/b & c?", question(conversation="a/b & c?"), **page)
        _, session = await streams.call(world.product, "api/session/a%2Fb%20%26%20c%3F/messages/", **page)
        assert session["unique_id"] == "a/b & c?"
        async with streams.events(world.product, session["id"], **page) as stream:
            assert (await stream.until("done"))[0]["conversation"] == "a/b & c?"
        status, accepted = await streams.ask(world.product, session["id"], {"id": "2", "message": "Again?"}, **page)
        assert (status, accepted["conversation"]) == (200, "a/b & c?")


async def test_somebody_elses_conversation_does_not_exist(world: World) -> None:
    alice, bob = page_of(world.product), page_of(world.product)
    async with engine(world, silent):
        _, accepted = await streams.ask(world.product, "hers", question(conversation="hers"), **alice)
        _, session = await streams.call(world.product, "api/session/hers/messages/", **alice)
        for name in ("hers", session["id"], "nobody's"):
            async with streams.events(world.product, name, **bob) as stream:
                assert (stream.status, (await stream.body())["code"]) == (404, "not_found")
            assert (await streams.call(world.product, f"api/session/{name}/messages/", **bob))[0] == 404
            assert (await streams.cancel(world.product, name, accepted["turn"], **bob))[0] == 404
        _, own = await streams.ask(world.product, "his", question(conversation="his"), **bob)
        status, refused = await streams.cancel(world.product, "his", accepted["turn"], **bob)
        assert (status, refused["code"]) == (404, "not_found")
        assert (await streams.cancel(world.product, "his", "no turn", **bob))[0] == 404
        # The same label is the second person's own conversation: nothing of the first one's is in it.
        _, mine = await streams.ask(world.product, "hers", question(conversation="hers"), **bob)
        assert mine["seq"] == 1
        assert {accepted["turn"], own["turn"]}.isdisjoint({mine["turn"]})
        for name, turn, who in (("hers", accepted, alice), ("his", own, bob), ("hers", mine, bob)):
            assert (await streams.cancel(world.product, name, turn["turn"], **who))[0] < 300


async def test_a_gap_is_told_and_the_stream_goes_on(world: World) -> None:
    page = page_of(world.product)
    async with engine(world), tab(world, guest_of(page)) as client:
        await say(client, question())
        head = (await whole_answer(client))[-1]["seq"]
        async with streams.events(world.product, "c", 900, **page) as stream:
            assert await stream.event() == {"type": "gap", "conversation": "c", "head": head}
            assert stream.ids == [str(head)]
            await say(client, question())
            assert (await stream.event())["seq"] == head + 1
            await whole_answer(client)


BAD = [
    ("ask", b"{", 400, "bad_json"),
    ("ask", b"\xff{}", 400, "bad_json"),
    ("ask", {"id": "q"}, 400, "bad_field"),
    ("ask", {"message": "m"}, 400, "bad_field"),
    ("ask", {"id": "q", "message": "m", "type": "cancel"}, 400, "bad_field"),
    ("ask", {"id": "q", "message": "m", "conversation": "another"}, 400, "bad_field"),
    ("ask", {"id": "q", "message": "m", "documents": ["d"]}, 404, "not_found"),
    ("ask", {"id": "q", "message": "m", "replaces": "t"}, 404, "not_found"),
    ("ask", [1], 400, "bad_frame"),
    ("cancel", {}, 400, "bad_field"),
    ("cancel", {"turn": "x" * 5000}, 413, "file_too_large"),
    ("events", {}, 405, "bad_field"),
]


@pytest.mark.parametrize(("call", "body", "status", "code"), BAD, ids=lambda value: str(value)[:40])
async def test_a_bad_call_is_named(world: World, call: str, body: Any, status: int, code: str) -> None:
    page = page_of(world.product)
    found, answer = await streams.call(world.product, f"api/session/c/{call}/", body, **page)
    assert (found, answer["code"]) == (status, code)
    assert answer["error"]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 30, "٣"])
async def test_a_cursor_that_is_no_number_is_named(world: World, after: str) -> None:
    page = page_of(world.product)
    async with engine(world):
        await streams.ask(world.product, "c", question(), **page)
        async with streams.events(world.product, "c", quote(after), **page) as stream:
            assert (stream.status, (await stream.body())["field"]) == (400, "after")


async def test_other_methods_and_media_types_are_refused(world: World) -> None:
    page = page_of(world.product)
    async with streams.request(world.product, "api/session/c/ask/", **page) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    form = {"Content-Type": "application/x-www-form-urlencoded"} | page
    assert (await streams.call(world.product, "api/session/c/ask/", b"id=q", **form))[0] == 415


async def test_who_may_not_speak_may_not_read(world: World) -> None:
    async with streams.events(world.product, "c", Authorization="Token nobody's") as stream:
        assert (stream.status, (await stream.body())["code"]) == (401, "unauthenticated")
    token = await streams.token_of_somebody(world.product)
    async with streams.events(world.product, "c", Authorization=f"Token {token}") as stream:
        assert (stream.status, (await stream.body())["code"]) == (404, "not_found")  # of theirs there is none
    page = page_of(world.product)
    without_proof = {"Cookie": page["Cookie"]}
    status, refused = await streams.ask(world.product, "c", question(), **without_proof)
    assert (status, refused["code"]) == (403, "forbidden")


async def test_questions_count_for_the_limit_as_on_the_socket(tmp_path: Any) -> None:
    limited = World(tmp_path, "uvicorn", MIVA_RATE="2/h", MIVA_SOCKETS="2").start()
    try:
        page = page_of(limited.product)
        async with engine(limited):
            asked = [question(), question()]
            accepted = [await streams.ask(limited.product, "c", one, **page) for one in asked]
            assert [status for status, _ in accepted] == [200, 200]
            async with streams.request(limited.product, "api/session/c/ask/", question(), **page) as refused:
                assert refused.status == 429
                assert int(refused.headers["retry-after"]) > 0
            async with tab(limited, guest_of(page)) as client:
                await say(client, asked[0])  # which is no question more
                assert (await event(client))["turn"] == accepted[0][1]["turn"]
                await say(client, question())
                while (refusal := await event(client))["type"] != "error":
                    pass
                assert (refusal["code"], "turn" in refusal) == ("rate_limited", False)
            again, same = await streams.ask(limited.product, "c", asked[1], **page)
            assert (again, same["turn"]) == (200, accepted[1][1]["turn"])
        product = limited.product
        async with streams.events(product, "c", **page) as one, streams.events(product, "c", **page) as two:
            assert [await one.event(), await two.event()]
            async with streams.events(product, "c", **page) as third:
                assert (third.status, (await third.body())["code"]) == (429, "rate_limited")
        async with asyncio.timeout(PATIENCE_S):
            while True:  # places of streams that ended are free again
                async with streams.events(product, "c", **page) as later:
                    if later.status == 200:
                        break
    finally:
        limited.stop()


async def test_a_stream_ends_with_the_login_behind_it(world: World) -> None:
    browser = page_of(world.product)
    async with engine(world):
        await streams.ask(world.product, "mine", question(conversation="mine"), **browser)
        async with streams.events(world.product, "mine", **browser) as stream:
            await stream.until("done")
            name = f"reader{id(stream)}"
            person = {"email": f"{name}@example.org", "username": name, "password": "correct horse battery"}
            await streams.call(world.product, "api/signup/", person)
            status, _ = await streams.call(world.product, "api/login/", person, **browser)
            assert status == 200
            assert await stream.event() is None


async def test_a_silent_stream_says_that_it_lives_and_loses_nothing_meanwhile(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STILL_HERE_S", 0.05)
    log = await make_log()
    reader = Speaker(log.conversation.owner_id, Owner.Kind.GUEST, "Guest")
    stream = event_stream.EventStream(reader, str(reader.owner_id), log.conversation, 0)
    await stream.open()
    chunks = stream.chunks()
    found = [await anext(chunks)]
    saying = asyncio.create_task(say_slowly(log))
    while b'"text":"4"' not in found[-1]:
        found.append(await anext(chunks))
    await saying
    await chunks.aclose()
    assert found.count(b": still here\n\n") > 3
    told = [json.loads(chunk.partition(b"data: ")[2]) for chunk in found if b"data: " in chunk]
    assert [event["text"] for event in told] == list("01234")


async def say_slowly(log: Log) -> None:
    for number in range(5):
        await asyncio.sleep(0.12)
        await log.say(str(number))


async def test_a_stream_whose_reader_is_gone_leaves_nothing_behind(world: World) -> None:
    page = page_of(world.product)
    async with engine(world), tab(world, guest_of(page)) as client:
        await say(client, question())
        await whole_answer(client)
        for _ in range(30):
            async with streams.events(world.product, "c", **page) as stream:
                await stream.event()
        await say(client, resume(0))
        await whole_answer(client)
        await assert_silent(client)


async def test_a_message_history_and_the_events_behind_its_head_show_each_turn_once(any_world: World) -> None:
    page = page_of(any_world.product)
    async with engine(any_world, silent) as asked:
        for number in (1, 2):
            await streams.ask(any_world.product, "c", question(f"question {number}"), **page)
        await asked.wait_for_frames(1)
        await asked.connections[0].send(piece("partly"))

        async def history() -> Any:
            status, found = await streams.call(any_world.product, "api/session/c/messages/", **page)
            assert status == 200
            return found

        before = await history()
        assert (before["head"], before["messages"]) == (0, [])  # all of the running turn is still to be told
        await asked.connections[0].send(json.dumps({"type": "done", "response": "**one**"}))
        async with streams.events(any_world.product, "c", **page) as stream:
            seen = await stream.until("done")
        await asked.wait_for_frames(2)
        middle = await history()
        assert [(message["role"], message["content"]) for message in middle["messages"]] == [
            ("user", "question 1"),
            ("assistant", "**one**"),
        ]
        answer = middle["messages"][1]
        assert answer["id"] == seen[-1]["message_id"]
        assert answer["html"] == seen[-1]["html"] == "<p><strong>one</strong></p>"
        assert {message["turn"] for message in middle["messages"]} == {seen[-1]["turn"]}
        async with streams.events(any_world.product, "c", middle["head"], **page) as stream:
            second = await stream.event()
            assert (second["type"], second["message"]) == ("accepted", "question 2")
        await asked.connections[1].send(json.dumps({"type": "done", "response": "two"}))
        async with streams.events(any_world.product, "c", second["seq"], **page) as stream:
            again = await stream.until("done")  # the rest of the first turn, during which the second was accepted
            assert {told["turn"] for told in again} == {seen[-1]["turn"]}
            end = (await stream.until("done"))[-1]
            assert end["turn"] == second["turn"]
        after = await history()
        assert after["head"] == end["seq"]
        assert len(after["messages"]) == 4


def test_the_http_side_alone_says_that_it_cannot_hold_a_stream(make_log: MakeLog) -> None:
    answer = Client().get("/api/session/c/events/")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")


async def test_a_socket_and_a_stream_read_along_while_one_asks(any_world: World) -> None:
    page = page_of(any_world.product)
    async with engine(any_world), tab(any_world, guest_of(page)) as client:
        await streams.ask(any_world.product, "c", question(), **page)
        await say(client, resume(0))
        first = await whole_answer(client)
        async with streams.events(any_world.product, "c", first[-1]["seq"], **page) as stream:
            await streams.ask(any_world.product, "c", question(), **page)
            assert await stream.until("done") == await whole_answer(client)
    assert (await event_of(any_world, guest_of(page)))["seq"] == 1


async def event_of(world: World, guest: str) -> Any:
    async with tab(world, guest) as client:
        await say(client, resume(0))
        return await event(client)


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
async def test_a_server_that_stops_ends_its_streams_and_itself(worlds: Worlds, server: str) -> None:
    world = worlds(server)
    page = page_of(world.product)
    async with engine(world):
        await streams.ask(world.product, "c", question(), **page)
        async with streams.events(world.product, "c", **page) as stream:
            await stream.until("done")
            assert await asyncio.to_thread(worlds.stop, server) is not None
            assert await stream.event() is None
