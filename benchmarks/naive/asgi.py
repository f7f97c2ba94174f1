"""The rival's ASGI application."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.naive.settings")

import django

django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path

from benchmarks.naive.consumers import ChatConsumer, LayerConsumer

_consumer = LayerConsumer if settings.CHANNEL_LAYERS else ChatConsumer
application = ProtocolTypeRouter({"websocket": URLRouter([re_path(r"^ws/chat/?$", _consumer.as_asgi())])})
