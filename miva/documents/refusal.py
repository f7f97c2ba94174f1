"""How code in an extraction process says that a file cannot be read: a code of the contract, and words for a person."""

from __future__ import annotations

LOCKED_FOR_GOOD = "This PDF is locked in a way that cannot be opened with a password here."
"""The sentence, beside the code `encrypted_pdf`, for a file that no password opens; clients tell it by these words."""


class Refusal(Exception):
    """Becomes the MivaError of that code in the server; without a message, that error's own sentence is used."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def too_much_text(characters: int) -> str:
    """The sentence for a file whose text is over the limit."""
    return f"This file holds too much text: more than {characters:,} characters."


def too_large(max_bytes: int) -> str:
    """The sentence for a file of more bytes than are taken."""
    size = f"{max_bytes / 2**20:.0f} MB" if max_bytes >= 2**20 else f"{max_bytes:,} bytes"
    return f"This file is too large: at most {size} are taken."
