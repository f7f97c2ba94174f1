"""Blocking work (the database above all) in threads of its own, awaited from the event loop.

Channels has one thread for all sockets of a process, so that one slow call there (a password hash) would hold up every
stream; these threads are several, and keep their database connections: making one costs more than most queries.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="blocking")
"""Those that are used where nobody names others."""


def in_thread(function: Callable[P, T], threads: ThreadPoolExecutor = threads) -> Callable[P, Coroutine[Any, Any, T]]:
    """The awaitable form of a plain function: runs it in one of the threads."""

    def work(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close_at = None  # a broken one is closed all the same, when it is needed next

    @functools.wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    return awaited
