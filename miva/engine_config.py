"""What the relay tells the embedded engine when it starts it and `ps` must not show, as its command line does."""

from __future__ import annotations

import json
import os
from urllib.parse import quote, urlencode

from django.conf import settings

LONGEST = 60_000
"""Bytes; a pipe takes so many at once, on every system, before anybody reads."""


def open_config() -> int:
    """The reading end of a pipe that holds the configuration as JSON; the caller closes it. Raises ValueError."""
    given = {
        "vector_store": settings.MIVA_VECTOR_STORE,
        "database_url": _postgres_url(),
        "llm": settings.MIVA_LLM,
    }
    text = json.dumps(given).encode()
    if len(text) > LONGEST:
        raise ValueError("The settings of the language models are too long to hand on.")
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(text)
    return reading


def _postgres_url() -> str:
    """The database's address as libpq reads it, "" where it is another one. Django knows more ways to write it."""
    about = settings.DATABASES["default"]
    if about["ENGINE"] != "miva.postgres":
        return ""
    user, password, host, port, name = (str(about.get(key) or "") for key in _PARTS)
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    given = {key: value for key, value in about.get("OPTIONS", {}).items() if key.startswith(("ssl", "gss"))}
    more = given | {"host": host, "port": port}
    options = urlencode({key: value for key, value in more.items() if value})
    return f"postgresql://{who}{'@' if who else ''}/{quote(name, safe='')}" + (f"?{options}" if options else "")


_PARTS = ("USER", "PASSWORD", "HOST", "PORT", "NAME")
