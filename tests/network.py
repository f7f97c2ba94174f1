"""Commands without a network: in a namespace of their own, with nothing in it but a loopback interface that is down."""

from __future__ import annotations

import shutil
import subprocess

_WAYS = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])


def _way() -> list[str]:
    """The first way that this user may go; empty where there is none."""
    if shutil.which("unshare"):
        for way in _WAYS:
            if subprocess.run([*way, "true"], capture_output=True).returncode == 0:
                return way
    return []


WITHOUT_NETWORK = _way()
"""What to write before a command so that it has no network; empty where this system or user cannot do that.

Sockets that are files work across it, so a test outside can speak to a server inside.
"""
