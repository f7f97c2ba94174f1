"""The ASGI application: HTTP to Django, sockets to the consumers, made ready when a server imports it."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")

from miva.allocator import begin_start, end_of_start

begin_start()

import django

django.setup()

from channels.routing import ProtocolTypeRouter

from miva import startup
from miva.api.asgi import http_application
from miva.routing import socket_application
from miva.servers import keep_tokens_out_of_logs, lifespan

if "daphne.cli" in sys.modules:  # other servers start in half the time without Twisted
    from miva import daphne_server

    daphne_server.install()
keep_tokens_out_of_logs()
startup.prepare_server()

application = ProtocolTypeRouter({"http": http_application(), "websocket": socket_application, "lifespan": lifespan})
end_of_start()
