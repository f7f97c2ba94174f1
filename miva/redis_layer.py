"""The channel layer over Redis: channels_redis's, without a task that fails where nobody looks when Redis goes away."""

from __future__ import annotations

import logging

from channels_redis.core import RedisChannelLayer
from redis.exceptions import RedisError

logger = logging.getLogger("miva.redis_layer")


class RedisLayer(RedisChannelLayer):  # type: ignore[misc]
    """What `CHANNEL_LAYERS` names."""

    async def _clean_receive_backup(self, index: int, channel: str) -> None:
        """Takes a message that was received out of the copy kept of it; channels_redis runs this in a task of its own
        that nobody waits for. Where Redis cannot be reached, the message is received a second time, later: news may be
        told twice."""
        try:
            await super()._clean_receive_backup(index, channel)
        except (RedisError, OSError) as why:
            logger.debug("A message was received, and Redis could not be told (%r)", why)
