"""News between the parts of one process, and over the channel layer between processes: one listener, many subscribers.

News may be lost (a full or absent layer drops it); whoever must not miss anything reads the database as well.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer

logger = logging.getLogger("miva.hub")

News = dict[str, Any]
Listener = Callable[[News], None]
Join = Callable[[News, News], News]
"""Makes one piece of news of two, the older one first."""

RENEW_S = 3600.0
"""How often group memberships are renewed; channels_redis forgets them after a day (`group_expiry`)."""
PULSE_S = 10.0
"""How often the listener sends itself a message. Where one is not back by the next, the layer has forgotten who listens
(Redis was emptied, or another took its place), and every group is joined again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
SEND_ATTEMPTS, SEND_PATIENCE_S = 3, 5.0
LAST_SENDS_S = 1.0
CANCEL_AGAIN_S = 0.1


def group_name(topic: str) -> str:
    """A name the layer takes (ASCII, under 100 characters) for any topic, also one with a client's words in it."""
    return "miva." + hashlib.sha256(topic.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def owner_topic(owner_id: object) -> str:
    """The topic on which an owner's sockets hear what concerns them: a changed login, a document's progress."""
    return f"owner:{owner_id}"


def shared_layer() -> BaseChannelLayer | None:
    """The layer that other processes hear; None where all runs in this one (the in-memory one reaches nobody else)."""
    layer = get_channel_layer()
    return None if isinstance(layer, InMemoryChannelLayer) else layer


@dataclass(frozen=True, slots=True)
class Telling:
    """News of which others are told something else than this process, which may keep objects of Python in its own.

    While a message to the others is under way, what is to follow it on the same topic is joined into one.
    """

    topic: str
    here: News
    elsewhere: Callable[[], News]
    join: Join


def _is_cancelled() -> bool:
    """Whether this task was told to end. The layer's client swallows a cancel now and then: redis-py sends within
    `asyncio.wait_for`, which before Python 3.12 forgets one that comes just as what it waits for is done."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Hub:
    """Subscribers of one process by topic.

    All methods but those `…_from_anywhere` belong to the event loop that subscribed first.
    """

    def __init__(self, *, renew_s: float = RENEW_S, pulse_s: float = PULSE_S) -> None:
        self._renew_s = renew_s
        self._pulse_s = pulse_s
        self._process = secrets.token_hex(8)
        self._channel = ""
        self._pulse_topic = f"process:{self._process}"
        self._has_pulse = True
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._listeners[self._pulse_topic].add(self._feel)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = asyncio.Event()
        self._joined: set[str] = set()
        self._changed: set[str] = {self._pulse_topic}
        """Topics whose membership may have to change: joined, or left, when the listener comes to it."""
        self._sends: set[asyncio.Task[None]] = set()
        self._unsent: dict[str, News | None] = {}
        """What follows, by topic, when the message that is under way has been sent."""
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub-sender")
        self.connected = False
        """Whether the layer worked when it was last used."""
        self._takes_news = True
        """Whether the layer took what was last told, so that the log has an outage once and not with each news."""

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Calls `listener` with each news of a topic, from this and other processes; returns what ends that."""
        self._listeners[topic].add(listener)
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            if shared_layer() is not None:
                self._task = self._loop.create_task(self._listen(), name="hub")
        self._look_at(topic)

        def unsubscribe() -> None:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]
                self._look_at(topic)

        return unsubscribe

    def tell(self, topic: str, news: News) -> None:
        """Tells this process at once and the others over the layer, in the background; never raises, never waits."""
        self._tell_here(topic, news)
        layer = shared_layer()
        if layer is not None:
            self._in_background(self._send(layer, topic, news))

    def tell_from_anywhere(self, topic: str, news: News) -> None:
        """`tell` for code in any thread (a Django view, a command); on the hub's own loop it tells at once."""
        if self._loop is not None and self._loop.is_running():
            if asyncio._get_running_loop() is self._loop:
                self.tell(topic, news)
            else:
                self._loop.call_soon_threadsafe(self.tell, topic, news)
            return
        layer = shared_layer()
        if layer is not None:
            # No socket is open in this process. The caller may stand in an event loop of its own (a view's), that ends
            # with it: sending is for neither to wait for.
            self._sender.submit(asyncio.run, self._send(layer, topic, news))

    def tell_all_from_anywhere(self, tellings: Sequence[Telling]) -> None:
        """Tells several things at once, from any thread; what is told from one thread arrives in its order."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._tell_all, tellings)
            return
        layer = shared_layer()
        if layer is not None:
            for telling in tellings:
                self._sender.submit(asyncio.run, self._send(layer, telling.topic, telling.elsewhere()))

    async def close(self) -> None:
        """Ends the listener, after a moment for messages that are under way; subscribers hear no more."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=LAST_SENDS_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task, self._channel, self.connected = None, "", False
        self._join_all_again()  # for whoever subscribes later: the channel will be another

    def _tell_here(self, topic: str, news: News) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            try:
                listener(news)
            except Exception:
                logger.exception("A listener failed on news")

    def _tell_all(self, tellings: Sequence[Telling]) -> None:
        layer = shared_layer()
        for telling in tellings:
            self._tell_here(telling.topic, telling.here)
            if layer is None:
                continue
            if telling.topic in self._unsent:
                unsent, news = self._unsent[telling.topic], telling.elsewhere()
                self._unsent[telling.topic] = news if unsent is None else telling.join(unsent, news)
            else:
                self._unsent[telling.topic] = None
                self._in_background(self._send_in_order(layer, telling.topic, telling.elsewhere()))

    def _in_background(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send_in_order(self, layer: BaseChannelLayer, topic: str, news: News | None) -> None:
        try:
            while news is not None:
                await self._send(layer, topic, news)
                news, self._unsent[topic] = self._unsent[topic], None
        finally:
            del self._unsent[topic]

    async def _send(self, layer: BaseChannelLayer, topic: str, news: News) -> None:
        message = {"type": "news", "from": self._process, "topic": topic, "news": news}
        problem: Exception | None = None
        for _ in range(SEND_ATTEMPTS):
            try:
                async with asyncio.timeout(SEND_PATIENCE_S):
                    await layer.group_send(group_name(topic), message)
                if not self._takes_news:
                    self._takes_news = True
                    logger.info("The channel layer takes news again")
                return
            except TimeoutError as why:
                problem = why
                break
            except Exception as why:  # also a connection kept from before Redis was started again: the next is new
                problem = why
        if self._takes_news:
            self._takes_news = False
            logger.warning("The channel layer does not take news (%r); other processes look for themselves", problem)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_S
        while not _is_cancelled():
            try:
                layer = shared_layer()
                if layer is None:
                    return
                async for message in self._messages(layer):
                    pause = FIRST_PAUSE_S
                    if message.get("from") != self._process or message.get("topic") == self._pulse_topic:
                        self._tell_here(str(message.get("topic")), message.get("news") or {})
            except asyncio.CancelledError:
                raise
            except Exception as why:
                if self.connected or pause == FIRST_PAUSE_S:
                    logger.warning("The channel layer is away (%s); trying again", why)
            self.connected = False
            self._join_all_again()
            if not _is_cancelled():
                await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _messages(self, layer: BaseChannelLayer) -> AsyncIterator[News]:
        """What arrives on one channel of the layer, while its memberships follow the subscriptions."""
        # One name for the process's life: with a new one after each failure, the groups would go on sending to the old.
        channel = self._channel = self._channel or await layer.new_channel()
        loop = asyncio.get_running_loop()
        renew_at, pulse_at = loop.time() + self._renew_s, loop.time()
        self._has_pulse = True
        received: asyncio.Task[News] | None = None
        try:
            while True:
                self._wanted.clear()
                is_pulse_due = loop.time() >= pulse_at
                if loop.time() >= renew_at or (is_pulse_due and not self._has_pulse):
                    self._join_all_again()
                    renew_at = loop.time() + self._renew_s
                await self._follow(layer, channel)
                if is_pulse_due:
                    self._has_pulse, pulse_at = False, loop.time() + self._pulse_s
                    message = {"type": "news", "from": self._process, "topic": self._pulse_topic}
                    await layer.group_send(group_name(self._pulse_topic), message)
                if _is_cancelled():
                    return
                self.connected = True
                if received is None:
                    received = asyncio.create_task(layer.receive(channel))
                wanted = asyncio.create_task(self._wanted.wait())
                patience = max(0.0, min(renew_at, pulse_at) - loop.time())
                try:
                    await asyncio.wait((received, wanted), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    wanted.cancel()
                if received.done():
                    message = received.result()
                    received = None
                    yield message
        finally:
            while received is not None and not received.done():  # the layer's client swallows a cancel now and then
                received.cancel()
                await asyncio.wait((received,), timeout=CANCEL_AGAIN_S)
            if received is not None and not received.cancelled():
                received.exception()  # not told when it is thrown away

    async def _follow(self, layer: BaseChannelLayer, channel: str) -> None:
        """Brings the memberships in line with the subscriptions that changed."""
        while self._changed:
            topic = self._changed.pop()
            is_wanted, is_joined = topic in self._listeners, topic in self._joined
            if is_wanted and not is_joined:
                await layer.group_add(group_name(topic), channel)
                self._joined.add(topic)
            elif is_joined and not is_wanted:
                await layer.group_discard(group_name(topic), channel)
                self._joined.discard(topic)

    def _feel(self, _: News) -> None:
        self._has_pulse = True

    def _look_at(self, topic: str) -> None:
        if self._task is not None:  # else nobody is there who would ever take it from the set
            self._changed.add(topic)
            self._wanted.set()

    def _join_all_again(self) -> None:
        self._joined.clear()
        self._changed.update(self._listeners)


hub = Hub()
"""The hub of this process."""
