"""The WSGI application: the HTTP part alone, for servers without ASGI (the chat's socket needs `epsilon.asgi`)."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from miva import startup

startup.prepare_server()
