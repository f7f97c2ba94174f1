"""What the doctor tells: for each trouble a sentence on what happened, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 64 * 1024
"""Bytes of a frame that everything passes."""

NGINX = """\
If nginx stands in front, its `location` needs these lines:
    proxy_pass http://127.0.0.1:8000;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_read_timeout 1h;
    client_max_body_size 60m;"""

FRAMES = """\
The server's own limit: start uvicorn with `--ws-max-size 80000000` (alone it takes 16 MiB); `make run`, and daphne with
epsilon.asgi, fit MIVA_MAX_FILE_MB by themselves, unless daphne is given `--websocket_max_message_size`.
A proxy's limit: nginx has none for frames, but other proxies, load balancers and firewalls do."""

ENGINE = """\
With MIVA_ENGINE_URL set: see that the engine runs, and ask `python manage.py engine --check <its address>`.
Without it the relay starts one by itself: its log says why it could not (look for lines that begin with “engine:”)."""

DISK = "Make room on its disk, or let the server's user write there; MIVA_DATA_DIR says where it is."

TOKEN = """\
Set MIVA_ANONYMOUS=on where people without an account may chat, or give a token with `--token`
(POST /api/login/ answers with one)."""  # noqa: S105 (words, not a token)

ORIGIN = """\
The page's origin must be the server's own, or stand in CSRF_TRUSTED_ORIGINS with its scheme: https://chat.example.org
Behind a proxy with https the server must know that: the proxy sends `X-Forwarded-Proto: https` and the name as `Host`,
and uvicorn runs with `--proxy-headers` (`--forwarded-allow-ips` names the proxy where it is on another machine)."""


def host_advice(host: str) -> str:
    """What to change where the server does not know its name."""
    return (
        f"Set ALLOWED_HOSTS={host} (with the other names, separated by commas). A proxy must pass the name on: "
        "proxy_set_header Host $http_host;"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what works, or what does not and what to change."""

    is_fine: bool
    words: str
    advice: str = ""


def fine(words: str) -> Finding:
    return Finding(True, words)


def wrong(words: str, advice: str = "") -> Finding:
    return Finding(False, words, advice)


class Trouble(Exception):
    """What ended one step of the examination."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.finding = wrong(words, advice)


def cut_off(code: int | None, what: str, size: int) -> Trouble:
    """What a close code means after `what`, a frame of `size` bytes; None for a connection that ended without one."""
    if code == 4401:
        return Trouble("The socket opens and is closed with 4401: whoever asks has to sign in.", TOKEN)
    if code == 4429:
        words = "The socket opens and is closed with 4429: this visitor has too many open."
        return Trouble(words, "Close some, or raise MIVA_SOCKETS.")
    if code == 1009 or (code is None and size > SMALL):
        how = "closed with 1009" if code else "dropped without a word"
        return Trouble(f"{what} is too large on the way: the connection is {how} ({size / 2**20:.1f} MiB).", FRAMES)
    if code is None:
        return Trouble(f"{what}: the connection is dropped.", f"A proxy may end it.\n{NGINX}")
    return Trouble(f"{what}: the server closes the connection with {code}.", "Its log may say why.")
