"""What the settings mean, and that the engine reads what the relay writes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from epsilon.language_models import from_environment
from miva.engine.llm.config import Endpoint, LlmConfig, Patience

GROQ = "https://api.groq.com/openai/v1"
HUGGINGFACE = "https://router.huggingface.co/v1"


def config(**values: str) -> LlmConfig:
    """Through JSON, as the engine's process gets it."""
    return LlmConfig.from_dict(json.loads(json.dumps(from_environment(values))))


def places(**values: str) -> list[tuple[str, str, str]]:
    return [(endpoint.url, endpoint.model, endpoint.api_key) for endpoint in config(**values).models]


def test_nothing_set_means_no_model() -> None:
    assert from_environment({}) is None
    assert from_environment({"MIVA_LLM_URL": " ", "MIVA_LLM_MODEL": " , ", "PATH": "/bin"}) is None


def test_an_address_with_models_to_try_in_turn() -> None:
    url = "http://127.0.0.1:11434/v1"
    assert places(MIVA_LLM_URL="http://127.0.0.1:11434", MIVA_LLM_MODEL="llama2, mistral", MIVA_LLM_API_KEY="k") == [
        (url, "llama2", "k"),
        (url, "mistral", "k"),
    ]


def test_an_address_alone_leaves_the_model_to_the_place() -> None:
    assert places(MIVA_LLM_URL="http://127.0.0.1:11434/v1/") == [("http://127.0.0.1:11434/v1", "", "")]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1/chat/completions", "http://localhost:11434/v1"),
        ("http://localhost:11434/chat/completions", "http://localhost:11434/v1"),
        ("http://[::1]:8080/v1/models/", "http://[::1]:8080/v1"),
        ("https://api.groq.com/openai", GROQ),
        ("https://host.example/api/chat/completions", "https://host.example/api"),
        ("https://host.example/v1beta/openai/", "https://host.example/v1beta/openai"),
    ],
)
def test_an_address_works_however_much_of_it_is_given(given: str, url: str) -> None:
    assert places(MIVA_LLM_URL=given)[0][0] == url


def test_a_services_key_alone_is_enough() -> None:
    assert places(GROQ_API_KEY="g") == [(GROQ, "llama-3.3-70b-versatile", "g"), (GROQ, "llama-3.1-8b-instant", "g")]
    assert {(url, key) for url, _, key in places(HUGGINGFACE_API_KEY="h")} == {(HUGGINGFACE, "h")}
    assert places(HUGGINGFACE_API_KEY="h")[0][1].startswith("mistralai/Mistral-7B-Instruct")


def test_both_services_one_behind_the_other() -> None:
    assert [url for url, _, _ in places(GROQ_API_KEY="g", HUGGINGFACE_API_KEY="h")] == [GROQ] * 2 + [HUGGINGFACE] * 2


def test_a_service_with_models_of_the_users_choice() -> None:
    assert places(GROQ_API_KEY="g", MIVA_LLM_MODEL="qwen-32b,bundled") == [(GROQ, "qwen-32b", "g"), ("", "bundled", "")]


def test_the_bundled_model_asks_nobody_even_where_there_are_keys() -> None:
    (endpoint,) = config(MIVA_LLM_MODEL="bundled", GROQ_API_KEY="g").models
    assert endpoint == Endpoint("bundled", model="bundled", context_tokens=2048, at_once=1)


def test_a_key_goes_only_where_it_belongs() -> None:
    assert places(MIVA_LLM_URL=GROQ, MIVA_LLM_MODEL="x", GROQ_API_KEY="g") == [(GROQ, "x", "g")]
    assert places(MIVA_LLM_URL="http://api.groq.com", MIVA_LLM_MODEL="x", GROQ_API_KEY="g")[0][2] == ""
    assert places(MIVA_LLM_URL="https://evil.example", MIVA_LLM_MODEL="x", GROQ_API_KEY="g")[0][2] == ""


def test_the_context_can_be_set_but_not_the_bundled_models() -> None:
    values = {"MIVA_LLM_URL": "http://h", "MIVA_LLM_MODEL": "a,bundled", "MIVA_LLM_CONTEXT_TOKENS": "32768"}
    assert [endpoint.context_tokens for endpoint in config(**values).models] == [32768, 2048]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"MIVA_LLM_URL": "localhost:11434"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_URL": "ftp://host/v1"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_URL": "http://host:port/v1"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_URL": "http://[::1/v1"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_URL": "http:///v1"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_URL": "http://h/v1?api-version=1"}, "behind"),
        ({"MIVA_LLM_URL": "https://u:secret-key@host/v1"}, "MIVA_LLM_API_KEY"),
        ({"MIVA_LLM_MODEL": "llama2"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_MODEL": "llama2,bundled"}, "MIVA_LLM_URL"),
        ({"MIVA_LLM_API_KEY": "secret-key"}, "MIVA_LLM_URL"),
        ({"GROQ_API_KEY": "secret-key\nX-Evil: 1"}, "GROQ_API_KEY"),
        ({"HUGGINGFACE_API_KEY": "secret-kéy"}, "HUGGINGFACE_API_KEY"),
        ({"MIVA_LLM_URL": "http://h", "MIVA_LLM_CONTEXT_TOKENS": "lots"}, "MIVA_LLM_CONTEXT_TOKENS"),
        ({"MIVA_LLM_URL": "http://h", "MIVA_LLM_CONTEXT_TOKENS": "12"}, "MIVA_LLM_CONTEXT_TOKENS"),
    ],
)
def test_what_cannot_be_used_is_told_with_what_to_change(values: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        from_environment(values)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_it_travels_as_plain_json() -> None:
    given = LlmConfig((Endpoint("openai", "http://h/v1", "m", "k", 8192, 3), Endpoint("bundled")), Patience(first_s=7))
    assert LlmConfig.from_dict(json.loads(json.dumps(given.to_dict()))) == given


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"models": []},
        {"models": ["llama2"]},
        {"models": [{"model": "llama2"}]},
        {"models": [{"kind": "magic"}]},
        {"models": [{"kind": "openai", "url": 5}]},
        {"models": [{"kind": "openai", "at_once": 0}]},
        {"models": [{"kind": "openai", "api_key": "secret", "more": 1}]},
        {"models": [{"kind": "openai"}], "patience": {"first_s": "long"}},
        {"models": [{"kind": "openai"}], "patience": []},
    ],
)
def test_what_is_no_configuration_is_refused(values: Any) -> None:
    with pytest.raises(ValueError) as caught:
        LlmConfig.from_dict(values)
    assert "secret" not in str(caught.value)


def test_no_key_is_in_a_repr() -> None:
    assert "secret" not in repr(config(MIVA_LLM_URL="http://h", MIVA_LLM_API_KEY="secret"))


def test_the_settings_need_no_http_library() -> None:
    code = "import sys, epsilon.language_models; print(sorted({'aiohttp', 'miva.engine', 'django'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
