"""Files made to break readers: each is answered, and normal questions beside them are too."""

from __future__ import annotations

import asyncio

import pytest

from tests.engines import echo
from tests.pdfs import make_pdf
from tests.product import SHARED
from tests.relay.world import World, event, file, question

HOSTILE = sorted((SHARED / "pdfs/hostile").glob("*.pdf"))
WITHIN_S = 60.0
MAY_BE = {
    "broken_pdf",
    "encrypted_pdf",
    "extraction_memory",
    "extraction_timeout",
    "file_too_large",
    "no_text",
    "not_a_pdf",
    "too_many_pages",
}


@pytest.mark.skipif(not HOSTILE, reason="the hostile files are not beside this repository")
async def test_every_hostile_file_is_answered_while_normal_questions_succeed(relay: World) -> None:
    ended = asyncio.Event()

    async def ask(content: bytes, name: str) -> str:
        async with relay.socket() as client:
            await client.send(question("what is it?", f"hostile-{name}", file=file(content, name)))
            answer = await event(client, WITHIN_S)
            outcome: str = answer.get("code", "text")
            await client.send(question("still there?", f"hostile-{name}"))
            assert (await event(client, WITHIN_S))["message"] == "still there?"
            return outcome

    async def normal() -> int:
        count = 0
        async with relay.socket(guest=relay.guest()) as client:
            while not ended.is_set():
                normal_file = file(make_pdf([f"normal {count}", "second"]), "normal.pdf")
                await client.send(question(f"normal {count}", "normal", file=normal_file))
                answer = await event(client, WITHIN_S)
                assert answer.get("message", "").startswith(f"normal {count}\n\n--- File Content: normal.pdf"), answer
                count += 1
                await asyncio.sleep(0.05)
        return count

    async with relay.engine(echo):
        beside = asyncio.create_task(normal())
        outcomes = await asyncio.gather(*(ask(path.read_bytes(), path.name) for path in HOSTILE))
        ended.set()
        assert await beside >= 3
    print(dict(zip((path.name for path in HOSTILE), outcomes, strict=True)))
    assert set(outcomes) <= MAY_BE | {"text"}
