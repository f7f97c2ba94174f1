"""What the engine is told when it starts, beside its command line: what `ps` must not show, and who it may ask."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from miva.engine.llm.config import LlmConfig


@dataclass(frozen=True)
class Config:
    """`vector_store` as in `MIVA_VECTOR_STORE`; `database_url` is "" where the database is SQLite; `llm` None without
    a language model."""

    vector_store: str = "auto"
    database_url: str = ""
    llm: LlmConfig | None = None


def read(descriptor: int) -> Config:
    """The configuration in an open file or pipe: JSON with the fields of `Config`. Raises ValueError."""
    with os.fdopen(descriptor, "rb") as file:
        given: dict[str, Any] = json.loads(file.read())
    llm = given.get("llm")
    return Config(
        vector_store=str(given.get("vector_store") or "auto"),
        database_url=str(given.get("database_url") or ""),
        llm=LlmConfig.from_dict(llm) if llm else None,
    )
