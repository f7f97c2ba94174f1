"""Which language models there are and how long they are waited for; travels to the engine's process as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

BUNDLED = "bundled"
"""The name under which the small model of `requirements_llm.txt` is asked for."""
_T = TypeVar("_T", "Endpoint", "Patience")


@dataclass(frozen=True)
class Endpoint:
    """One model at one place. `url` ends before `/chat/completions`; an empty `model` is the first the place has."""

    kind: Literal["openai", "bundled"]
    url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    context_tokens: int = 4096
    at_once: int = 2


@dataclass(frozen=True)
class Patience:
    """How long a model is waited for, in seconds: to connect, up to its first word, between words, for the whole; and
    the first pause before it is asked again, which doubles. `silence_s` is how long an asker is left without a
    sentence, whatever is waited for: turns, all models and the parts of a summary together."""

    connect_s: float = 5.0
    first_s: float = 60.0
    between_s: float = 30.0
    total_s: float = 180.0
    pause_s: float = 0.5
    silence_s: float = 60.0


@dataclass(frozen=True)
class LlmConfig:
    """`models` are tried in turn."""

    models: tuple[Endpoint, ...]
    patience: Patience = field(default_factory=Patience)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; it holds the keys, so it belongs in no log."""
        return {"models": [asdict(endpoint) for endpoint in self.models], "patience": asdict(self.patience)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LlmConfig:
        """What `to_dict` wrote. Raises ValueError where it is something else; the text holds no value."""
        models = values.get("models")
        if not isinstance(models, list) or not models:
            raise ValueError("The language models are not a list with something in it.")
        patience = values.get("patience", {})
        return cls(tuple(_read(Endpoint, each) for each in models), _read(Patience, patience))


def _read(kind: type[_T], values: object) -> _T:
    """A dataclass of strings and positive numbers from a mapping."""
    known = {each.name: each for each in fields(kind)}
    if not isinstance(values, Mapping) or not set(values) <= set(known):
        raise ValueError(f"{kind.__name__}: not a mapping of {', '.join(known)}.")
    for name, value in values.items():
        wants_number = isinstance(known[name].default, int | float)
        fits = isinstance(value, int | float) and value > 0 if wants_number else isinstance(value, str)
        if not fits or (name == "kind" and value not in ("openai", BUNDLED)):
            raise ValueError(f"{kind.__name__}: {name} has a value that does not fit.")
    if "kind" in known and "kind" not in values:
        raise ValueError(f"{kind.__name__}: kind is missing.")
    return kind(**values)
