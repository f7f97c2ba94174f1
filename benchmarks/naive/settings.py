"""The rival's Django settings: no database, no sessions, nothing that a frame would pay for."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "only for measuring"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "benchmarks.naive.asgi.application"
USE_TZ = True

ENGINE_URL = os.environ["NAIVE_ENGINE_URL"]

CHANNEL_LAYERS: dict[str, Any] = {}
if "NAIVE_REDIS_URL" in os.environ:
    # The time limit is above the layer's own blocking read of 5 s, else idle sockets die with redis-py 8.
    _config: dict[str, Any] = {"hosts": [{"address": os.environ["NAIVE_REDIS_URL"], "socket_timeout": 10}]}
    if "NAIVE_CAPACITY" in os.environ:
        _config |= {"capacity": int(os.environ["NAIVE_CAPACITY"]), "expiry": 3600}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": _config}}
