"""Django settings, and the only place that reads the environment (or a `.env` beside manage.py).

A value that cannot be used does not stop this file: it is noted in `MIVA_PROBLEMS` and reported by the system checks
(`miva/checks.py`) in words, with what to change.
"""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import environ

from epsilon import language_models

BASE_DIR: Final = Path(__file__).resolve().parent.parent
VERSION: Final = "0.1.0"

if (BASE_DIR / ".env").exists():  # else django-environ logs that it found none, with the folder's name
    environ.Env.read_env(BASE_DIR / ".env")
env = environ.Env()

MIVA_PROBLEMS: list[tuple[str, str, str]] = []
"""(check id, what is wrong, how to mend it) for each setting that could not be used as given."""


def _problem(check: str, message: str, hint: str) -> None:
    MIVA_PROBLEMS.append((check, message, hint))


def _cores() -> int:
    """The cores that this process may use, of those that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text(name: str, default: str = "") -> str:
    # Not django-environ's own reading, which takes a value that begins with “$” for the name of another setting.
    return os.environ.get(name, "").strip() or default


def _words(name: str, default: list[str]) -> list[str]:
    return [word.strip() for word in _text(name).split(",") if word.strip()] or default


def _flag(name: str, default: bool) -> bool:
    word = _text(name).lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    if word:
        _problem("miva.E001", f"{name} is “{word}”, which is neither on nor off.", f"Write {name}=on or {name}=off.")
    return default


def _number(name: str, default: float, least: float, most: float = 1e9, *, whole: bool = False) -> float:
    word = _text(name)
    try:
        number = float(word or default)
        if least <= number <= most and (number.is_integer() or not whole):
            return number
    except ValueError:
        pass
    _problem(
        "miva.E002",
        f"{name} is “{word}”, which is not a {'whole ' if whole else ''}number from {least:g} to {most:g}.",
        f"Write {name}={default:g}.",
    )
    return default


def _address(url: str) -> tuple[str, str]:
    """Scheme and host of an address; both empty for what is none, or has a port that there cannot be."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (reading it checks it)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return "", ""


# --- Where things are -----------------------------------------------------------------------------

MIVA_DATA_DIR = Path(_text("MIVA_DATA_DIR", "data"))
if not MIVA_DATA_DIR.is_absolute():
    MIVA_DATA_DIR = BASE_DIR / MIVA_DATA_DIR
FILE_UPLOAD_TEMP_DIR = MIVA_DATA_DIR / "tmp"
try:
    MIVA_DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True, mode=0o700)
except OSError as _why:
    _problem(
        "miva.E003",
        f"The folder for data cannot be made: {_why.strerror}.",
        "Set MIVA_DATA_DIR to a folder that may be written.",
    )

HOST = _text("HOST", "127.0.0.1")
PORT = int(_number("PORT", 8000, 0, 65535, whole=True))
REDIS_URL = _text("REDIS_URL")
if REDIS_URL and _address(REDIS_URL)[0] not in {"redis", "rediss", "unix"}:
    _problem(
        "miva.E004",
        "REDIS_URL is not an address of a Redis server.",
        "Write it like redis://127.0.0.1:6379/0, or leave it out to run in one process.",
    )
    REDIS_URL = ""

# --- Who may come in ------------------------------------------------------------------------------

_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = _words("ALLOWED_HOSTS", _LOCAL_HOSTS)
MIVA_IS_LOCAL = set(ALLOWED_HOSTS) <= set(_LOCAL_HOSTS)
"""True while only people on this machine are served: then plain http cookies and guests are fine."""
for _name in ALLOWED_HOSTS:
    if "/" in _name or (":" in _name and not (_name.startswith("[") and _name.endswith("]"))):
        _problem(
            "miva.E018",
            f"ALLOWED_HOSTS holds “{_name}”, which no request can match: it takes names without scheme, port and path.",
            "Write it like ALLOWED_HOSTS=chat.example.org (an IPv6 address in brackets: [::1]).",
        )

# `make run` is `manage.py serve`, for a person at their own machine: there DEBUG is on unless something says otherwise.
DEBUG = _flag("DEBUG", default=sys.argv[1:2] == ["serve"] and MIVA_IS_LOCAL and not REDIS_URL)
_IS_PRODUCTION = bool(REDIS_URL) or (bool(_text("DEBUG")) and not DEBUG)

CSRF_TRUSTED_ORIGINS = _words("CSRF_TRUSTED_ORIGINS", [])
for _origin in CSRF_TRUSTED_ORIGINS:
    if _address(_origin)[0] not in {"http", "https"}:
        _problem(
            "miva.E005",
            f"CSRF_TRUSTED_ORIGINS holds “{_origin}”, which has no scheme.",
            "Write whole origins: https://chat.example.org",
        )
MIVA_ANONYMOUS = _flag("MIVA_ANONYMOUS", default=MIVA_IS_LOCAL)


def _key_of_this_machine() -> str:
    """The secret key kept in the data folder, made at the first start (mode 0600), one for all processes that start."""
    path = MIVA_DATA_DIR / "secret_key"
    mine = path.with_name(f"secret_key.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if not path.exists():
            mine.touch(mode=0o600)
            mine.write_text(secrets.token_urlsafe(50))
            try:
                os.link(mine, path)  # fails where another process was first, so that all read one and the same key
            except FileExistsError:
                pass
            finally:
                mine.unlink()
        return path.read_text().strip()
    except OSError as why:
        _problem("miva.E003", f"The secret key cannot be kept: {why.strerror}.", "Set MIVA_DATA_DIR or SECRET_KEY.")
        return secrets.token_urlsafe(50)


SECRET_KEY = _text("SECRET_KEY")
if _IS_PRODUCTION:
    _why_production = "REDIS_URL is set" if REDIS_URL else "DEBUG is off"
    if not SECRET_KEY:
        _problem(
            "miva.E006",
            f"SECRET_KEY is missing ({_why_production}).",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(50))' and set it on every machine.",
        )
    if not _text("ALLOWED_HOSTS"):
        _problem(
            "miva.E007",
            f"ALLOWED_HOSTS is missing ({_why_production}).",
            "Set it to the names under which people reach the server: ALLOWED_HOSTS=chat.example.org",
        )
SECRET_KEY = SECRET_KEY or _key_of_this_machine()

# --- Parts ----------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "miva",  # before django's own, so that its runserver and createsuperuser are the ones that run
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_simplejwt.token_blacklist",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "miva.api.static_files.StaticFilesMiddleware",  # WhiteNoise, asynchronous
    "miva.api.middleware.SecurityHeadersMiddleware",
    "miva.api.middleware.ApiErrorsMiddleware",
    "miva.api.middleware.SocketNewsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "epsilon.urls"
ASGI_APPLICATION = "epsilon.asgi.application"
WSGI_APPLICATION = "epsilon.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_DATABASE_ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")
_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": MIVA_DATA_DIR / "miva.sqlite3"}
DATABASES: dict[str, dict[str, Any]] = {"default": dict(_SQLITE)}
if _text("DATABASE_URL"):
    try:
        DATABASES["default"] = env.db_url("DATABASE_URL")
        if DATABASES["default"]["ENGINE"] not in _DATABASE_ENGINES:  # an address without a scheme comes without any
            raise ValueError
    except Exception:
        _problem(
            "miva.E008",
            "DATABASE_URL is no address of a PostgreSQL or SQLite database.",
            "Write it like postgresql://user:password@127.0.0.1:5432/miva, or leave it out to use SQLite.",
        )
        DATABASES["default"] = dict(_SQLITE)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets readers go on while one writes; IMMEDIATE waits for the write lock instead of failing in the middle.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-512;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        DATABASES["default"]["ENGINE"] = "miva.postgres"  # Django's own, which waits for no answer without end
        # A server that vanishes from the network is noticed in seconds, where libpq's own patience is hours.
        DATABASES["default"]["OPTIONS"] = {
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,  # milliseconds
        } | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if REDIS_URL:
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "miva.redis_layer.RedisLayer",
            "CONFIG": {
                # redis-py 8 gives every read 5 s by default, which is as long as the layer's own blocking read: idle
                # listeners would die. Ten seconds is above it, so a Redis that hangs is still noticed.
                "hosts": [{"address": REDIS_URL, "socket_timeout": 10, "socket_connect_timeout": 3}],
                "capacity": 1000,
                "group_expiry": 86400,
            },
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "assets"]
STATIC_ROOT = MIVA_DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True  # served as they are, from assets/: no build and no collectstatic
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": MIVA_DATA_DIR, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- Accounts -------------------------------------------------------------------------------------

AUTH_USER_MODEL = "miva.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "/accounts/login/", "/", "/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG and not MIVA_IS_LOCAL
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["miva.api.authentication.SpeakerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": [
        "miva.api.parsers.JsonParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "miva.api.parsers.AlwaysJson",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "miva.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=1),  # a socket that came with one closes when it ends
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": True,
}
try:
    _email = environ.Env.email_url_config(_text("EMAIL_URL", "consolemail://"))
except Exception:
    _problem(
        "miva.E015",
        "EMAIL_URL cannot be understood.",
        "Write it like smtp+tls://user:password@mail.example.org:587, or leave it out to print mail on the console.",
    )
    _email = environ.Env.email_url_config("consolemail://")
globals().update(_email)
EMAIL_TIMEOUT = 20
MIVA_GROQ_CONFIGURED = bool(_text("GROQ_API_KEY"))
_LOCAL_CACHE = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "LOCATION": "miva",
    "OPTIONS": {"MAX_ENTRIES": 100_000},  # beyond this, entries are thrown out at random, and counts with them
}
CACHES: dict[str, dict[str, Any]] = {"default": _LOCAL_CACHE, "local": _LOCAL_CACHE}
if REDIS_URL:
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "miva",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
DEFAULT_FROM_EMAIL = _text("DEFAULT_FROM_EMAIL", "miva@localhost")

# --- The relay ------------------------------------------------------------------------------------

MIVA_ENGINE_URLS = tuple(_words("MIVA_ENGINE_URL", []))
for _url in MIVA_ENGINE_URLS:
    if _address(_url)[0] not in {"ws", "wss"} or not _address(_url)[1]:
        _problem(
            "miva.E009",
            "MIVA_ENGINE_URL must hold addresses that start with ws:// or wss://.",
            "Example: MIVA_ENGINE_URL=ws://127.0.0.1:8001/ws/chat — or leave it out to use the embedded engine.",
        )
MIVA_ENGINE_CONNECT_S = _number("MIVA_ENGINE_CONNECT_S", 5, 0.05)
MIVA_ENGINE_TIMEOUT_S = _number("MIVA_ENGINE_TIMEOUT_S", 120, 0.05)
MIVA_ENGINE_TOTAL_S = _number("MIVA_ENGINE_TOTAL_S", 600, 0.05)
MIVA_ENGINE_MAX_FRAME = 16 * 2**20
"""Bytes of one frame of an engine (contract section 2)."""

MIVA_VECTOR_STORE = _text("MIVA_VECTOR_STORE", "auto")
"""Of the embedded engine: auto, files, pgvector, faiss, or package.module.Class."""
MIVA_LLM: dict[str, Any] | None = None
"""The embedded engine's language models, as it is given them; None: answers in the documents' own words."""
try:
    MIVA_LLM = language_models.from_environment({_name: _text(_name) for _name in language_models.NAMES})
except ValueError as _why:
    _wrong, _, _remedy = str(_why).partition(". ")
    _problem("miva.E016", f"{_wrong.rstrip('.')}.", _remedy)

MIVA_MAX_FILE_BYTES = int(_number("MIVA_MAX_FILE_MB", 50, 0.001, 2000) * 2**20)
MIVA_MAX_PAGES = int(_number("MIVA_MAX_PAGES", 5000, 1, whole=True))
MIVA_MAX_MESSAGE = 100_000
"""Characters of one question."""
MIVA_MAX_FRAME = MIVA_MAX_FILE_BYTES * 4 // 3 + 8 * MIVA_MAX_MESSAGE + 2**20
"""Bytes of one client frame: a file of the largest size in base64, a question, and room for line breaks and names."""
DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE = DAPHNE_WEBSOCKET_MAX_FRAME_SIZE = MIVA_MAX_FRAME

_PDF_ENGINES = ("pdfium", "pypdf2")
MIVA_PDF_ENGINES = tuple(_words("MIVA_PDF_ENGINES", list(_PDF_ENGINES)))
if not set(MIVA_PDF_ENGINES) <= set(_PDF_ENGINES):
    _problem(
        "miva.E010",
        f"MIVA_PDF_ENGINES is “{','.join(MIVA_PDF_ENGINES)}”, but only pdfium and pypdf2 are known.",
        "Write MIVA_PDF_ENGINES=pdfium,pypdf2, or one of the two.",
    )
    MIVA_PDF_ENGINES = _PDF_ENGINES
MIVA_PDF_TIMEOUT_S = _number("MIVA_PDF_TIMEOUT_S", 60, 0.1)
MIVA_PDF_MEMORY_MB = int(_number("MIVA_PDF_MEMORY_MB", 1024, 128, whole=True))
# One more than cores: while the server keeps one file's text, there is another to read on every core.
MIVA_PDF_WORKERS = int(_number("MIVA_PDF_WORKERS", min(8, _cores() + 1), 1, 64, whole=True))
MIVA_OCR = _text("MIVA_OCR", "auto").lower()
if MIVA_OCR not in {"auto", "off"}:
    _problem("miva.E011", f"MIVA_OCR is “{MIVA_OCR}”.", "Write MIVA_OCR=auto or MIVA_OCR=off.")
    MIVA_OCR = "auto"

MIVA_SOCKETS = int(_number("MIVA_SOCKETS", 20, 1, whole=True))
_SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_rate, _, _unit = _text("MIVA_RATE", "60/min").partition("/")
if not (_rate.isdecimal() and int(_rate) > 0 and _unit in _SECONDS):
    _problem(
        "miva.E012", f"MIVA_RATE is “{_text('MIVA_RATE')}”.", "Write a number of questions and a time: MIVA_RATE=60/min"
    )
    _rate, _unit = "60", "min"
MIVA_RATE = (int(_rate), _SECONDS[_unit])
"""(questions, in so many seconds) for one user, or for one address where the public guest speaks."""

MIVA_LEASE_S = _number("MIVA_LEASE_S", 10, 0.5, 3600)
"""How long what a process works at stays its own when nothing is heard of it; it renews that every fifth of it."""
MIVA_LOG_HOURS = _number("MIVA_LOG_HOURS", 24, 0.01, 100_000)

MIVA_KNOWN_NAMES = frozenset(
    line.removeprefix("# ").partition("=")[0]
    for line in ((BASE_DIR / ".env.example").read_text().splitlines() if (BASE_DIR / ".env.example").exists() else [])
    if "=" in line
)
MIVA_UNKNOWN_NAMES = sorted(
    name for name in os.environ if name.startswith("MIVA_") and MIVA_KNOWN_NAMES and name not in MIVA_KNOWN_NAMES
)

LANGUAGE_CODE, TIME_ZONE, USE_TZ, USE_I18N = "en", "UTC", True, False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {
        "one_line": {"()": "miva.database_away.OneLine"},
        "clients_mistakes": {"()": "miva.mistakes_log.OneLine"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["clients_mistakes"]},
    },
    "loggers": {
        "miva": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "django.request": {"filters": ["one_line"]},
        "daphne": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
