"""Sockets of one process that read a conversation's log: second tabs, resumes, gaps, other people, slow readers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from miva import following
from miva.following import Following
from tests.engines import ScriptedEngine, silent
from tests.operations.talk import eventually
from tests.product import PATIENCE_S
from tests.reading import streams
from tests.reading.talk import ENDS, WORDS, engine, numbers, piece, question, read, resume, say, tab, whole_answer
from tests.relay.world import World, assert_silent, event, until

FLOOD, PIECE, DEAF = 200, 50_000, 20
"""Pieces of a long answer, characters of each, and how many clients do not read it."""


@contextmanager
def database(world: World) -> Iterator[sqlite3.Connection]:
    """The product's database, to be changed behind its back."""
    with closing(sqlite3.connect(world.product.data / "miva.sqlite3", timeout=20)) as connection:
        yield connection
        connection.commit()


def conversation(world: World, label: str) -> str:
    return str(world.rows("SELECT id FROM miva_conversation WHERE label = ?", label)[0][0])


async def test_a_second_tab_sees_every_event_that_the_first_one_saw(world: World) -> None:
    guest = world.guest()
    async with engine(world), tab(world, guest) as first, tab(world, guest) as second:
        await say(first, question("1"))
        seen = await whole_answer(first)
        await say(second, resume(0))
        assert await whole_answer(second) == seen
        await say(second, question("2"))  # and the other way round, live
        assert await whole_answer(second) == await whole_answer(first)
        assert numbers(seen) == list(range(1, len(seen) + 1))


async def test_an_answer_is_resumed_from_every_cursor(world: World) -> None:
    guest = world.guest()
    slowly = asyncio.Event()

    async def word_by_word(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        for word in WORDS * 3:
            await slowly.wait()
            slowly.clear()
            await connection.send(piece(word))
        await connection.send('{"type": "done"}')

    async with engine(world, word_by_word), tab(world, guest) as client:
        await say(client, question())
        seen: list[Any] = []
        while not seen or seen[-1]["type"] not in ENDS:
            if (seen and seen[-1]["type"] in ("thinking", "delta")) or len(seen) == 1:
                slowly.set()
            seen.append(await event(client))
        assert len(seen) > len(WORDS * 3)
        for after in range(len(seen)):
            async with tab(world, guest) as other:
                await say(other, resume(after))
                assert await read(other, len(seen)) == seen[after:]
            await say(client, resume(after))  # the cursor of a socket that follows already moves
            assert await read(client, len(seen)) == seen[after:]
        await say(client, resume(len(seen)))
        await assert_silent(client)


async def test_resumed_in_the_middle_of_an_answer_it_goes_on_live(world: World) -> None:
    guest = world.guest()
    async with engine(world, silent) as asked, tab(world, guest) as first:
        await say(first, question())
        await asked.wait_for_frames(1)
        seen = [await event(first)]
        for word in WORDS:
            await asked.connections[0].send(piece(word))
            seen += [await until(first, "delta")]
        async with tab(world, guest) as second:
            await say(second, resume(0))
            known = await read(second, seen[-1]["seq"])
            await asked.connections[0].send(piece("And more."))
            await asked.connections[0].send('{"type": "done"}')
            rest = await whole_answer(second)
            assert await whole_answer(first) == rest
            assert numbers(known + rest) == list(range(1, len(known + rest) + 1))
            assert rest[-1]["text"] == "".join(WORDS) + "And more."


async def test_asking_again_elsewhere_repeats_accepted_and_tells_what_followed(world: World) -> None:
    guest, asking = world.guest(), question()
    async with engine(world) as asked:
        async with tab(world, guest) as first:
            await say(first, asking)
            seen = await whole_answer(first)
            await say(first, asking)
            assert await event(first) == seen[0]
            await assert_silent(first)
        async with tab(world, guest) as second:
            await say(second, asking)
            assert await whole_answer(second) == seen
            await say(second, question("2"))
            assert (await whole_answer(second))[0]["seq"] == len(seen) + 1
        assert len(asked.frames) == 2


async def test_what_is_somebody_elses_or_nobodys_is_not_found(world: World) -> None:
    alice, bob = world.guest(), world.guest()
    async with engine(world), tab(world, alice) as hers, tab(world, bob) as his:
        await say(hers, question(conversation="hers"))
        seen = await whole_answer(hers)
        for label in ("hers", "nobody's", conversation(world, "hers")):
            await say(his, resume(0, label))
            assert await event(his) | {"message": ""} == {"type": "error", "code": "not_found", "message": ""}
        await say(his, resume(0, "hers", id="r1"))
        assert (await event(his))["id"] == "r1"
        await say(his, {"type": "cancel", "turn": seen[0]["turn"]})
        assert (await event(his))["code"] == "not_found"
        await say(his, resume(-1, "hers"))
        assert (await event(his))["field"] == "after"
        await say(hers, question("2", "hers"))
        await whole_answer(hers)
        await assert_silent(his)


async def test_a_cursor_that_never_was_gets_the_head_and_then_what_is_new(world: World) -> None:
    guest = world.guest()
    async with engine(world), tab(world, guest) as client:
        await say(client, question())
        seen = await whole_answer(client)
        await say(client, resume(900))
        assert await event(client) == {"type": "gap", "conversation": "c", "head": len(seen)}
        await assert_silent(client)
        await say(client, question("2"))
        assert (await whole_answer(client))[0]["seq"] == len(seen) + 1


async def test_what_is_pruned_is_a_gap_and_a_running_turn_is_whole_behind_it(world: World) -> None:
    guest = world.guest()
    async with engine(world, silent) as asked, tab(world, guest) as client:
        await say(client, question("1", "pruned"))
        await asked.wait_for_frames(1)
        await asked.connections[0].send('{"type": "done", "response": "one"}')
        first = await whole_answer(client)
        await say(client, question("2", "pruned"))
        accepted = await event(client)
        with database(world) as rows:
            id = conversation(world, "pruned")
            rows.execute("DELETE FROM miva_logevent WHERE conversation_id = ? AND seq <= ?", (id, len(first)))
        async with tab(world, guest) as other:
            for after in (0, len(first) - 1):
                await say(other, resume(after, "pruned"))
                assert await event(other) == {"type": "gap", "conversation": "pruned", "head": len(first)}
                assert (await event(other)) == accepted
            await say(other, resume(900, "pruned"))
            assert (await event(other))["head"] == len(first)
            assert (await event(other)) == accepted
            await asked.wait_for_frames(2)
            await asked.connections[1].send('{"type": "done", "response": "two"}')
            assert (await whole_answer(other))[-1]["text"] == "two"


def delete(world: World, label: str) -> None:
    """Takes a conversation out of the database without a word to anybody."""
    id = conversation(world, label)
    with database(world) as rows:
        for table in ("logevent", "message", "turn"):
            rows.execute(f"DELETE FROM miva_{table} WHERE conversation_id = ?", (id,))
        rows.execute("DELETE FROM miva_conversation WHERE id = ?", (id,))


@pytest.mark.parametrize("is_noticed", [True, False], ids=["noticed", "not noticed"])
async def test_a_question_in_a_conversation_that_was_deleted_begins_a_new_one(world: World, is_noticed: bool) -> None:
    guest, label = world.guest(), f"doomed {is_noticed}"
    async with engine(world), tab(world, guest) as client:
        await say(client, question(conversation=label))
        await whole_answer(client)
        delete(world, label)
        if is_noticed:
            gone = await event(client)
            assert (gone["type"], gone["code"], gone["conversation"]) == ("error", "not_found", label)
        await say(client, question(conversation=label))  # the label is free again
        found: list[Any] = []
        while not found or found[-1]["type"] != "done":
            told = await event(client)
            if is_noticed or told["type"] != "error":  # else that the other one is gone is said at some moment now
                found.append(told)
        assert numbers(found) == list(range(1, len(found) + 1))


async def test_one_socket_follows_many_conversations_and_tells_them_apart(world: World) -> None:
    guest = world.guest()
    async with engine(world), tab(world, guest) as client, tab(world, guest) as other:
        for number in range(30):
            await say(client, question(f"{number}", f"many {number}"))
        found: dict[str, list[Any]] = {}
        while sum(events[-1]["type"] == "done" for events in found.values()) < 30:
            told = await event(client)
            found.setdefault(told["conversation"], []).append(told)
        for label, events in found.items():
            assert numbers(events) == list(range(1, len(events) + 1))
            await say(other, resume(0, label))
            assert await whole_answer(other) == events


async def test_readers_that_are_slow_get_everything_and_cost_the_server_little(world: World) -> None:
    """The answer is larger than all buffers on the way by far; another tab reads it meanwhile at full speed."""
    guest, label = world.guest(), "flood"
    pieces = [f"{number:06d} " + "x" * PIECE for number in range(FLOOD)]

    async def floods(_: ScriptedEngine, connection: ServerConnection, __: str) -> None:
        for text in pieces:
            await connection.send(piece(text))
        await connection.send('{"type": "done"}')

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine(world, floods))
        quick, slow = [await stack.enter_async_context(tab(world, guest)) for _ in range(2)]
        slow.transport.pause_reading()
        await say(slow, question("flood", label))
        await say(quick, resume(0, label, id="again"))
        while (first := await event(quick))["type"] == "error":  # the question was not stored yet
            await say(quick, resume(0, label, id="again"))
        seen = [first, *await whole_answer(quick)]
        assert numbers(seen) == list(range(1, len(seen) + 1))
        assert "".join(found["text"] for found in seen if found["type"] == "delta") == "".join(pieces)
        slow.transport.resume_reading()
        assert await whole_answer(slow) == seen

        # The answer's end has all of its text again: what reading it costs is not the fault of those who do not read.
        await say(quick, resume(len(seen) - 1, label))
        await whole_answer(quick)
        deaf = [await stack.enter_async_context(tab(world, guest)) for _ in range(DEAF)]
        before = memory_kb(world)
        for client in deaf:
            client.transport.pause_reading()
            await say(client, resume(0, label))
        await say(quick, resume(0, "unknown"))  # asked last, so the others are being served by now
        assert (await event(quick))["type"] == "error"
        await asyncio.sleep(1)
        assert memory_kb(world) - before < DEAF * 1024
        for client in deaf:
            client.transport.abort()  # a closing handshake would be waited for with each


def memory_kb(world: World) -> int:
    assert world.product.process is not None
    status = Path(f"/proc/{world.product.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def test_a_socket_lets_go_of_the_conversation_it_used_longest_ago(
    make_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_FOLLOWED", 3)
    logs = [await make_log() for _ in range(4)]
    told: list[tuple[str, int]] = []

    async def tell(_: Any, place: Any) -> None:
        told.append((place.conversation, place.seq))

    followed = Following(tell)
    for log in logs[:3]:
        followed.follow(log.id, log.conversation.label, 0)
    followed.used(logs[0].id)
    followed.follow(logs[3].id, logs[3].conversation.label, 0)
    assert [log.id in followed for log in logs] == [True, False, True, True]
    await asyncio.sleep(0.1)
    for log in logs:
        await log.say("x")
    await asyncio.sleep(0.3)
    assert sorted(told) == sorted((logs[number].conversation.label, 1) for number in (0, 2, 3))
    await followed.close()


async def test_a_client_that_does_not_read_costs_one_page_however_many_conversations_it_follows(make_log: Any) -> None:
    logs = [await make_log() for _ in range(5)]
    reads = asyncio.Event()
    told: dict[str, list[int]] = {}

    async def tell(_: Any, place: Any) -> None:
        await reads.wait()
        told.setdefault(place.conversation, []).append(place.seq)

    followed = Following(tell)
    for log in logs:
        await log.say(*["x" * 1000] * 100)
        followed.follow(log.id, log.conversation.label, 0)

    def pages() -> int:
        return sum(follower.has_page for follower in followed._followers.values())

    await eventually(pages)
    for log in logs:  # nor does what comes meanwhile
        await log.say("y")
    await asyncio.sleep(0.1)
    assert pages() == 1
    assert not any(follower._held for follower in followed._followers.values())
    reads.set()
    async with asyncio.timeout(PATIENCE_S):
        while sum(map(len, told.values())) < 505:
            await asyncio.sleep(0.01)
    assert told == {log.conversation.label: list(range(1, 102)) for log in logs}
    await followed.close()


async def test_a_binary_frame_without_an_upload_is_a_mistake_in_every_dialect(world: World) -> None:
    async with tab(world, world.guest()) as client:
        await client.send(b"bytes")
        assert (await event(client))["code"] == "bad_frame"
    token = await streams.token_of_somebody(world.product)
    async with world.socket(query=f"token={token}") as client:
        await until(client, "welcome")
        await client.send(b"bytes")
        assert (await event(client))["code"] == "bad_frame"
    async with world.socket() as client:
        await client.send(b"bytes")
        assert json.loads(await client.recv())["code"] == "bad_frame"
