"""Large files and many clients: each is answered rightly, and nobody small waits for somebody large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import echo
from tests.pdfs import make_pdf
from tests.processes import process_tree
from tests.relay.conftest import Start
from tests.relay.world import World, event, file, question

LARGE_MB = 40
CLIENTS = 50
PATIENCE_S = 150.0


@pytest.mark.parametrize("server", ["uvicorn", "serve", "daphne"])
async def test_forty_megabytes_in_one_frame_while_small_questions_are_answered(start: Start, server: str) -> None:
    relay = start(server, "usual")
    content = make_pdf(["the first of a large file", "the last"], size=LARGE_MB * 2**20)
    frame = question("what is in it?", "large", file=file(content, "large.pdf"))
    ended = asyncio.Event()

    async def small_questions() -> int:
        count = 0
        async with relay.socket(guest=relay.guest()) as client:
            while not ended.is_set():
                await client.send(question(f"small {count}", f"small-{server}"))
                assert (await event(client, PATIENCE_S))["message"] == f"small {count}"
                count += 1
                await asyncio.sleep(0.02)
        return count

    async with relay.engine(echo), relay.socket() as client:
        beside = asyncio.create_task(small_questions())
        await client.send(frame)
        assert await event(client, PATIENCE_S) == {
            "message": "what is in it?\n\n--- File Content: large.pdf ---\n--- Page 1 ---\nthe first of a large file"
            "\n\n--- Page 2 ---\nthe last\n--- End of File ---",
            "type": "chat",
            "unique_id": "large",
        }
        ended.set()
        assert await beside >= 5
        await client.send(question("and now?", "large"))
        assert (await event(client))["message"] == "and now?"
    relay.assert_calm()


async def test_fifty_clients_with_a_megabyte_each_are_all_answered(
    start: Start, record_property: Callable[[str, object], None]
) -> None:
    relay: World = start("uvicorn", "alone")
    assert relay.product.process is not None
    root = relay.product.process.pid
    before = {pid: peak(pid) for pid in process_tree(root)}

    async def ask(number: int) -> None:
        content = make_pdf([f"the file of client {number}"], size=2**20)
        async with relay.socket(guest=await asyncio.to_thread(relay.guest)) as client:
            await client.send(question(f"{number}", f"fifty-{number}", file=file(content, f"{number}.pdf")))
            assert (await event(client, PATIENCE_S))["message"] == (
                f"{number}\n\n--- File Content: {number}.pdf ---\n--- Page 1 ---\nthe file of client {number}"
                "\n--- End of File ---"
            )
            await client.send(question(f"again {number}", f"fifty-{number}"))
            assert (await event(client, PATIENCE_S))["message"] == f"again {number}"

    async with relay.engine(echo):
        await asyncio.gather(*(ask(number) for number in range(CLIENTS)))
    after = {pid: peak(pid) for pid in process_tree(root)}
    words = (
        f"{CLIENTS} clients with 1 MB each: peak of the server {before[root]:.0f} → {after[root]:.0f} MB,"
        f" peaks of its {len(after)} processes together {sum(before.values()):.0f} → {sum(after.values()):.0f} MB"
    )
    print(words)
    record_property("memory", words)
    # Each frame has 1.4 MB; a handful of copies of all of them would be a leak and not a peak.
    assert after[root] - before[root] < 6 * 1.4 * CLIENTS
    relay.assert_calm()


def peak(pid: int) -> float:
    """The most memory that a process has had, in MB; 0 where it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0
