"""The ASGI application: HTTP to Django, sockets to the consumers, made ready when a server imports it."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")

import django

django.setup()

from channels.routing import ProtocolTypeRouter

from miva import startup
from miva.api.asgi import http_application
from miva.routing import socket_application
from miva.servers import allow_large_frames_in_daphne, keep_tokens_out_of_logs, lifespan

allow_large_frames_in_daphne()
keep_tokens_out_of_logs()
startup.prepare_server()

application = ProtocolTypeRouter({"http": http_application(), "websocket": socket_application, "lifespan": lifespan})
