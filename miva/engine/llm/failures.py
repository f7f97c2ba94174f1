"""How the making of prose can end badly. The words are for a person: they name model and reason, never key or trace."""

from __future__ import annotations


class ModelFailed(Exception):
    """No model wrote the answer, or not to its end; `so_far` is what had been given out until then.

    `words` are for the log. `told` is for whoever asked: without the endpoint's address, and without its own words,
    which may name the operator's account or machines.
    """

    def __init__(self, words: str, so_far: str = "", told: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.so_far = so_far
        self.told = told or words


class Lowered(Exception):
    """A sentence says what the passages do not; `reason` says which, `so_far` is what had been given out until then."""

    def __init__(self, reason: str, so_far: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.so_far = so_far
