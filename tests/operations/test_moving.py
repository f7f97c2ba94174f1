"""An installation that moves from SQLite to PostgreSQL as docs/operations.md says: everybody finds everything again."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operations.talk import ask_numbered, call, open_socket
from tests.postgres_server import PostgresServer
from tests.product import ROOT, Product

NAMED = {"username": "ida", "password": "a long pass phrase"}
TEXT = "The lighthouse was built of granite in 1811. Its keeper was called Ewan. " * 20
FILE = {"name": "tower.txt", "type": "text/plain", "content": base64.b64encode(TEXT.encode()).decode()}


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def commands() -> dict[str, list[str]]:
    """The management commands of the page's part on moving, by their names."""
    page = (ROOT / "docs" / "operations.md").read_text()
    part = page.partition("## From SQLite to PostgreSQL\n")[2].partition("\n## ")[0]
    lines = re.findall(r"manage\.py (.+)$", "\n".join(re.findall(r"^    .*$", part, re.MULTILINE)), re.MULTILINE)
    return {(words := shlex.split(line))[0]: words for line in lines}


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without their times, which travel as milliseconds."""
    return [{name: value for name, value in row.items() if name != "created_at"} for row in rows]


async def answer(product: Product, token: str, question: str, **more: Any) -> dict[str, Any]:
    async with open_socket(product.socket_url, "miva.v1", f"token.{token}") as socket:
        return (await ask_numbered(socket, question, conversation="talk", **more))[-1]


async def test_what_the_page_says_moves_all_there_is(server: PostgresServer, tmp_path: Path) -> None:
    product = Product(tmp_path, MIVA_ANONYMOUS="on")
    with product:
        assert call(f"{product.url}api/signup/", {"email": "Ida@x.org", **NAMED})[0] == 201
        tokens = call(f"{product.url}api/login/", NAMED)[1]
        signed_in = {"Authorization": f"Token {tokens['token']}"}
        assert "granite" in (await answer(product, tokens["token"], "What was built of granite?", files=[FILE]))["text"]
        before = call(f"{product.url}api/session/talk/messages/", **signed_in)[1]
        documents = call(f"{product.url}api/document/", **signed_in)[1]
        # What only SQLite would take would be refused at the other end.
        hostile = {"files": [{**FILE, "name": "\0" + "ä" * 254}], "model": "a\0b"}
        await answer(product, tokens["token"], "Which\0 tower \ud800? \N{LATIN SMALL LETTER SHARP S}" * 900, **hostile)

    told = commands()
    assert list(told) == ["dumpdata", "migrate", "loaddata"]
    file = str(tmp_path / "everything.jsonl")

    def carry_out(name: str) -> None:
        words = [file if word == "everything.jsonl" else word for word in told[name]]
        done = product.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr

    carry_out("dumpdata")
    product.settings["DATABASE_URL"] = server.new_database()
    carry_out("migrate")
    carry_out("loaddata")
    with product:
        assert timeless(call(f"{product.url}api/document/", **signed_in)[1][-1:]) == timeless(documents)
        after = call(f"{product.url}api/session/talk/messages/", **signed_in)[1]
        assert timeless(after["messages"][:2]) == timeless(before["messages"])
        assert after["head"] > before["head"]
        done = await answer(product, tokens["token"], "Who was the keeper?")
        assert "Ewan" in done["text"]
        assert done["seq"] > after["head"]
        assert done["message_id"] > after["messages"][-1]["id"]
        assert call(f"{product.url}api/token/refresh/", {"refresh": tokens["refresh"]})[0] == 200
        assert call(f"{product.url}api/signup/", {"email": "ewan@x.org", **NAMED, "username": "ewan"})[0] == 201
    assert "Traceback" not in product.log()
