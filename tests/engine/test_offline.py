"""No network at all: the engine and the whole product index a document with vectors and answer by meaning."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.running import Engine
from tests.network import WITHOUT_NETWORK
from tests.operations.talk import ask_plainly, eventually, open_unix_socket
from tests.pdfs import make_pdf
from tests.product import PATIENCE_S, ROOT, START_S, Product

PAGES = [
    "The cafeteria serves warm meals from noon until two.",
    "Employees receive twenty-five days of paid leave a year.",
]
BY_MEANING = "How much vacation do workers get?"
ANSWER = "The document says: “Employees receive twenty-five days of paid leave a year.” (page 2)"
HUB = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

cut_off = pytest.mark.skipif(not WITHOUT_NETWORK, reason="this user may make no network namespace (unshare --net)")
_CONTROL = """
import socket
print([name for _, name in socket.if_nameindex()])
try:
    socket.create_connection(("192.0.2.1", 443), 5)
except OSError as why:
    print(why.strerror)
"""


@cut_off
def test_there_really_is_no_network() -> None:
    command = [*WITHOUT_NETWORK, sys.executable, "-c", _CONTROL]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "['lo']\nNetwork is unreachable\n"


@cut_off
@pytest.mark.parametrize("variables", [{}, HUB], ids=["as it is", "model hubs set offline"])
async def test_the_engine_needs_no_network(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HUB:
        monkeypatch.delenv(name, raising=False)
    place = tmp_path / "e.sock"
    with Engine(tmp_path / "data", socket=place, environment=variables, inside=WITHOUT_NETWORK) as engine:
        async with engine.open(v1=True) as client:
            document = await client.store(PAGES)
            await client.settle(document)
            assert (await client.ask(BY_MEANING, documents=[document]))["message"] == ANSWER
        assert engine.stop() == ""


@cut_off
async def test_the_product_needs_no_network(tmp_path: Path) -> None:
    product = Product(tmp_path)
    address = tmp_path / "server.sock"
    command = [*WITHOUT_NETWORK, sys.executable, "-m", "uvicorn", "epsilon.asgi:application", "--uds", str(address)]
    environment = {name: value for name, value in product.environment().items() if name not in HUB}
    with (tmp_path / "server.log").open("ab") as log:
        product.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await eventually(lambda: "Application startup complete" in product.log(), START_S)
        content = base64.b64encode(make_pdf(PAGES)).decode()
        file = {"name": "handbook.pdf", "type": "application/pdf", "content": content}
        said = ""
        async with open_unix_socket(address) as socket, asyncio.timeout(PATIENCE_S):
            while said != ANSWER:  # until its model, just being prepared for the first time, is loaded
                said = (await ask_plainly(socket, BY_MEANING, file=file))["message"]
        assert "Traceback" not in product.log()
    finally:
        product.stop()
