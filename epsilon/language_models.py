"""What the settings about language models mean, as the plain mapping that the engine's process is given.

Pure: `epsilon/settings.py` reads the environment and hands it in. The shape is that of `LlmConfig.to_dict` in the
engine, which the relay does not import; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

NAMES = (
    "MIVA_LLM_URL",
    "MIVA_LLM_MODEL",
    "MIVA_LLM_API_KEY",
    "MIVA_LLM_CONTEXT_TOKENS",
    "GROQ_API_KEY",
    "HUGGINGFACE_API_KEY",
)
"""The settings that count."""
BUNDLED = "bundled"

# Addresses and models as the services' own documentation names them.
_GROQ = ("https://api.groq.com/openai/v1", ("llama-3.3-70b-versatile", "llama-3.1-8b-instant"))
_HUGGINGFACE = (
    "https://router.huggingface.co/v1",
    ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-Instruct-v0.2"),
)
_SERVICES = {"GROQ_API_KEY": _GROQ, "HUGGINGFACE_API_KEY": _HUGGINGFACE}
_SERVICE_TOKENS = 8192  # both services count tokens per minute; more context would mean fewer questions
_SERVICE_AT_ONCE = 4
_OWN_TOKENS = 4096  # Ollama's default window: what is longer it cuts at the front without a word
_OWN_AT_ONCE = 2
_BUNDLED_TOKENS = 2048  # what the bundled model was trained with
_DOORS = re.compile(r"/(?:chat/completions|completions|models)/*\Z")
_VERSION = re.compile(r"/v\d+\w*(?:/|\Z)")


def from_environment(values: Mapping[str, str]) -> dict[str, Any] | None:
    """The models to try, in turn, or None where none is configured.

    `values` maps the names in `NAMES` (others do not matter) to their text. Raises ValueError with a sentence that says
    what to change; it never holds a key.
    """
    given = {name: values.get(name, "").strip() for name in NAMES}
    for name in given:
        if name.endswith("_KEY") and not (
            given[name].isascii() and given[name].isprintable() and " " not in given[name]
        ):
            raise ValueError(f"{name} holds a character that no key has. Copy it again.")
    wanted = [name.strip() for name in given["MIVA_LLM_MODEL"].split(",") if name.strip()]
    places = _places(given, wanted)
    tokens = _tokens(given["MIVA_LLM_CONTEXT_TOKENS"])
    models = [
        endpoint | ({"context_tokens": tokens} if tokens and endpoint["kind"] == "openai" else {})
        for place in places
        for endpoint in place
    ]
    return {"models": models, "patience": {}} if models else None


def _places(given: Mapping[str, str], wanted: list[str]) -> list[list[dict[str, Any]]]:
    if given["MIVA_LLM_URL"]:
        url = _base(given["MIVA_LLM_URL"])
        key = given["MIVA_LLM_API_KEY"] or _service_key(url, given)
        return [[_endpoint(name, url, key, _OWN_TOKENS, _OWN_AT_ONCE) for name in wanted or [""]]]
    if given["MIVA_LLM_API_KEY"]:
        raise ValueError("MIVA_LLM_API_KEY is set without MIVA_LLM_URL. Set the address that the key is for.")
    if wanted and set(wanted) == {BUNDLED}:
        return [[_endpoint(BUNDLED, "", "", 0, 0)]]
    keys = [name for name in _SERVICES if given[name]]
    if wanted and not keys:
        raise ValueError(
            "MIVA_LLM_MODEL names a model without saying where it is. Set MIVA_LLM_URL, for one http://127.0.0.1:11434 "
            "for Ollama, or write MIVA_LLM_MODEL=bundled."
        )
    places = []
    for number, name in enumerate(keys):
        url, usual = _SERVICES[name]
        # The bundled model is the same wherever it is named: once is enough.
        chosen = [model for model in wanted if number == len(keys) - 1 or model != BUNDLED] if wanted else usual
        places.append([_endpoint(model, url, given[name], _SERVICE_TOKENS, _SERVICE_AT_ONCE) for model in chosen])
    return places


def _endpoint(model: str, url: str, key: str, tokens: int, at_once: int) -> dict[str, Any]:
    if model == BUNDLED:
        return {"kind": "bundled", "model": BUNDLED, "context_tokens": _BUNDLED_TOKENS, "at_once": 1}
    endpoint = {"kind": "openai", "url": url, "model": model, "api_key": key}
    return endpoint | {"context_tokens": tokens, "at_once": at_once}


def _service_key(url: str, given: Mapping[str, str]) -> str:
    """The service's own key where the address is that service's, and no other: a key goes only where it belongs."""
    for name, (home, _) in _SERVICES.items():
        if urlsplit(url)[:2] == urlsplit(home)[:2]:
            return given[name]
    return ""


def _base(url: str) -> str:
    """The address up to and with its version, however much of it was given."""
    example = "Write it like http://127.0.0.1:11434/v1."
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError(f"MIVA_LLM_URL is not an address. {example}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(c.isspace() for c in url):
        raise ValueError(f"MIVA_LLM_URL is not an http or https address. {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("MIVA_LLM_URL holds a name or a password. Put the key into MIVA_LLM_API_KEY.")
    if parts.query or parts.fragment:
        raise ValueError("MIVA_LLM_URL has something behind a “?” or “#”. Leave that out.")
    path, doors = _DOORS.subn("", parts.path)
    path = path.rstrip("/")
    # Who wrote the door out knows what stands before it; else the version is part of every such address.
    if not path or (not doors and not _VERSION.search(path)):
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _tokens(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text) <= 2_000_000:
        raise ValueError(
            "MIVA_LLM_CONTEXT_TOKENS is not a number from 1024 to 2000000. Write MIVA_LLM_CONTEXT_TOKENS=4096."
        )
    return int(text)
