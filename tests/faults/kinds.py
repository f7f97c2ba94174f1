"""The faults. Each begins, lasts, and leaves everything as it was before, but for what it broke in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import redis

from tests.faults.engine import GARBAGE
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.faults.stage import ENGINE_TIMEOUT_S, LEASE_S, Worker

Fault = Callable[[Scene], Coroutine[Any, Any, None]]


async def browser_away(scene: Scene) -> None:
    """A tab loses its connection for 0.1–10 s; most resume where they were, some were loaded anew and know nothing."""
    rng = scene.rng
    tab = rng.choice(scene.tabs)
    seconds = rng.choice((0.1, rng.uniform(0.1, 1), rng.uniform(1, 3), rng.uniform(1, 10)))
    await tab.away(seconds, politely=rng.random() < 0.3, forgets=rng.random() < 0.35)


async def browser_vanishes(scene: Scene) -> None:
    """Nothing passes on a tab's connection any more, and nobody is told."""
    scene.rng.choice(scene.tabs).vanish()


async def browser_deaf(scene: Scene) -> None:
    """What a tab says still arrives, and nothing comes back to it: it asks, and will have to ask again."""
    scene.rng.choice(scene.tabs).vanish(only_back=True)


async def door_troubled(scene: Scene) -> None:
    """What passes between browsers and a worker is slow, or held and then late, or held and then lost."""
    await _troubled(scene, [scene.rng.choice(scene.stage.workers).door])


async def owner_killed(scene: Scene) -> None:
    """kill -9 of a worker in the middle of answers; it is started again before or after its leases end."""
    await _killed(scene, await scene.some_owner())


async def other_killed(scene: Scene) -> None:
    """kill -9 of the worker beside the one that answers, to which tabs are connected all the same."""
    await _killed(scene, scene.stage.other_than(await scene.some_watched_owner()))


async def both_killed(scene: Scene) -> None:
    """kill -9 of the whole server, and a start."""
    for worker in scene.stage.workers:
        await worker.kill()
    await asyncio.sleep(scene.rng.uniform(0, LEASE_S))
    for worker in scene.stage.workers:
        await worker.start()


async def owner_stopped(scene: Scene) -> None:
    """SIGSTOP of a worker in the middle of answers until its leases are over; then it wakes and knows nothing of it."""
    owner = await scene.some_owner()
    with scene.trouble():  # where nobody takes its turns, it finds that the engine was silent for long
        owner.pause()
        await asyncio.sleep(scene.rng.uniform(1.3, 3) * LEASE_S)
        owner.go_on()


async def worker_ended(scene: Scene) -> None:
    """SIGTERM of a worker, and a start, as when a new version is rolled out."""
    owner = await scene.some_owner()
    if not await owner.stop():
        scene.counts.surprises.append("a worker did not end in time when it was told to")
    await asyncio.sleep(scene.rng.uniform(0, 1))
    await owner.start()


async def redis_killed(scene: Scene) -> None:
    """kill -9 of Redis, and a start."""
    server = scene.stage.redis
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(scene.rng.uniform(0.2, 4))
    await asyncio.to_thread(server.start)


async def redis_flushed(scene: Scene) -> None:
    """FLUSHALL, once or more: the groups are gone and what waits in channels."""
    for _ in range(scene.rng.randrange(1, 4)):
        await asyncio.to_thread(_at_redis, scene, lambda client: client.flushall())
        await asyncio.sleep(scene.rng.uniform(0, 1))


async def redis_full(scene: Scene) -> None:
    """Redis has no memory left and refuses to write."""
    await asyncio.to_thread(_at_redis, scene, lambda client: client.config_set("maxmemory-policy", "noeviction"))
    await asyncio.to_thread(_at_redis, scene, lambda client: client.config_set("maxmemory", "1"))
    await asyncio.sleep(scene.rng.uniform(1, 4))
    await asyncio.to_thread(_at_redis, scene, lambda client: client.config_set("maxmemory", "0"))


async def redis_troubled(scene: Scene) -> None:
    """What passes between workers and Redis is slow, or held and then late, or held and then lost."""
    workers = scene.rng.sample(scene.stage.workers, scene.rng.randrange(1, 3))
    await _troubled(scene, [worker.to_redis for worker in workers])


async def redis_loses(scene: Scene) -> None:
    """What passes between one worker and Redis is held and then lost, while the others tell each other more."""
    await _troubled(scene, [scene.rng.choice(scene.stage.workers).to_redis], "lost")


async def engine_killed(scene: Scene) -> None:
    """kill -9 of the engine in the middle of answers, and a start."""
    await scene.some_owner()
    with scene.trouble():
        await scene.stage.engine.kill()
        await asyncio.sleep(scene.rng.choice((0.0, 0.3, 2.0)))
        await scene.stage.engine.start()


async def engine_cut(scene: Scene) -> None:
    """The connections of a worker to the engine break in the middle of answers; the engine lives."""
    owner = await scene.some_owner()
    with scene.trouble():
        owner.to_engine.cut()


async def engine_silent(scene: Scene) -> None:
    """The engine says nothing for longer than it may."""
    owner = await scene.some_owner()
    with scene.trouble():
        owner.to_engine.hold()
        await asyncio.sleep(ENGINE_TIMEOUT_S + scene.rng.uniform(0.5, 2))
        owner.to_engine.go_on(cutting=scene.rng.random() < 0.5)


async def engine_garbage(scene: Scene) -> None:
    """The engine sends what it must not, of some kind, in the middle of every answer."""
    await scene.some_owner()
    with scene.trouble():
        await scene.stage.engine.spoil(scene.rng.choice(sorted(GARBAGE)))
        await asyncio.sleep(0.5)


async def all_at_once(scene: Scene) -> None:
    """A worker is killed or stopped or ended, Redis dies, the engine dies and all tabs lose their connections."""
    worker_fault = scene.rng.choice((owner_killed, owner_stopped, worker_ended, other_killed))
    tabs = [tab.away(scene.rng.uniform(0.1, 3)) for tab in scene.tabs]
    await asyncio.gather(worker_fault(scene), redis_killed(scene), engine_killed(scene), *tabs)


BROWSER: dict[str, Fault] = {
    "browser away": browser_away,
    "browser vanishes": browser_vanishes,
    "browser deaf": browser_deaf,
}
"""They concern one tab, and come all the time."""
OTHERS: dict[str, Fault] = {
    "door troubled": door_troubled,
    "owner killed": owner_killed,
    "other killed": other_killed,
    "both killed": both_killed,
    "owner stopped": owner_stopped,
    "worker ended": worker_ended,
    "redis killed": redis_killed,
    "redis flushed": redis_flushed,
    "redis full": redis_full,
    "redis troubled": redis_troubled,
    "engine killed": engine_killed,
    "engine cut": engine_cut,
    "engine silent": engine_silent,
    "engine garbage": engine_garbage,
    "all at once": all_at_once,
}
"""They concern everybody, and come one after the other."""
AT_WORST: dict[str, Fault] = {"redis troubled": redis_loses}
"""What of a kind of fault loses most, for its control: as they come, eighteen of them once cost no message at all."""


async def _killed(scene: Scene, worker: Worker) -> None:
    await worker.kill()
    await asyncio.sleep(scene.rng.choice((0.0, scene.rng.uniform(0, LEASE_S), 2 * LEASE_S)))
    await worker.start()


async def _troubled(scene: Scene, proxies: Sequence[Proxy], kind: str = "") -> None:
    kind = kind or scene.rng.choice(("slow", "late", "lost"))
    for proxy in proxies:
        if kind == "slow":
            proxy.delay_s = scene.rng.uniform(0.05, 0.4)
        else:
            proxy.hold()
    await asyncio.sleep(scene.rng.uniform(1, 5))
    for proxy in proxies:
        proxy.delay_s = 0.0
        proxy.go_on(cutting=kind == "lost")


def _at_redis(scene: Scene, order: Callable[[redis.Redis], object]) -> None:
    with contextlib.suppress(redis.RedisError), scene.stage.redis.client() as client:
        order(client)
