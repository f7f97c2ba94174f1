"""Whether the server works, for people and for the programs that watch it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from miva import migrated, no_room
from miva.engine_client import engine_health

LONGEST_S = 2.5
"""What is slower than this counts as down."""

_database_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
_asking: Future[str] | None = None
_is_migrated = False
_lock = Lock()


@csrf_exempt
@require_safe
async def live(_: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/live/`: the process lives and answers; nothing else is looked at."""
    return JsonResponse({"status": "alive"})


@csrf_exempt
@require_safe
async def health(_: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/`: what the server needs, and whether it has it; 503 where it has not."""
    database, redis_state, engine = await asyncio.gather(_database(), _redis(), _engine())
    disk = no_room.state(settings.MIVA_DATA_DIR)
    is_healthy = database == "connected" and redis_state != "down" and engine["status"] == "ok" and disk == "ok"
    answer = {
        "status": "healthy" if is_healthy else "unhealthy",
        "database": database,
        "redis": redis_state,
        "disk": disk,
        "engine": {name: engine[name] for name in ("status", "name", "models")},
        "embedding_service": "loaded" if engine["embedding_dim"] > 0 else "not loaded",
        "embedding_dim": engine["embedding_dim"],
        "groq_api_configured": settings.MIVA_GROQ_CONFIGURED,
        "version": settings.VERSION,
    }
    return JsonResponse(answer, status=200 if is_healthy else 503)


async def _database() -> str:
    try:
        async with asyncio.timeout(LONGEST_S):
            asking = asyncio.wrap_future(_begin_asking())
            asking.add_done_callback(_heard)
            return await asyncio.shield(asking)
    except Exception:  # whatever a database driver raises
        return "down"


def _heard(asking: asyncio.Future[str]) -> None:
    """What comes of an asking that nobody waits for any more is no news: else asyncio logs its trace."""
    if not asking.cancelled():
        asking.exception()


def _begin_asking() -> Future[str]:
    """Asks the database, or joins the asking under way: one that hangs holds one thread, not one for each call."""
    global _asking
    with _lock:
        if _asking is None or _asking.done():
            _asking = _database_thread.submit(_ask_database)
        return _asking


def _ask_database() -> str:
    global _is_migrated
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        # One that was away when this process started may have come without its tables; they do not go again.
        _is_migrated = _is_migrated or not migrated.missing_steps()
        return "connected" if _is_migrated else "not migrated"
    finally:
        connection.close()  # so that each asking shows whether a new connection can be had


async def _redis() -> str:
    if not settings.REDIS_URL:
        return "not configured"
    from redis.asyncio import Redis  # here: redis-py is a sixth of what a server without one would import

    client = Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        async with asyncio.timeout(LONGEST_S):
            await client.ping()
    except Exception:  # redis.RedisError, OSError, or a server that speaks something else
        return "down"
    finally:
        await client.aclose()
    return "connected"


async def _engine() -> dict[str, Any]:
    try:
        async with asyncio.timeout(LONGEST_S):
            return await engine_health()
    except TimeoutError:
        return {"status": "down", "name": "engine", "models": [], "embedding_dim": 0}
