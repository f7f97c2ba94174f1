"""Which dialect a socket's frames are in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from miva.dialogues import Dialogue, PlainDialogue, QueryDialogue, Send
from miva.identity import Speaker
from miva.protocol import plain, v1
from miva.v1_dialogue import V1Dialogue


def dialogue_for(
    subprotocol: str | None, speaker: Speaker, caller: str, send: Send, *, welcomes: bool
) -> Callable[[dict[str, Any] | None], Dialogue]:
    """Chooses the dialogue of each frame: fixed by the subprotocol, else by whether the frame has a `query`.

    Called with None for what is no object (a greeting, broken JSON).
    """
    if subprotocol == v1.SUBPROTOCOL:
        only: Dialogue = V1Dialogue(speaker, caller, send)
        return lambda _: only
    plain_dialogue = PlainDialogue(speaker, caller, send)
    if subprotocol == plain.SUBPROTOCOL:
        return lambda _: plain_dialogue
    query_dialogue = QueryDialogue(speaker, caller, send, welcomes=welcomes)
    return partial(_by_frame, plain_dialogue, query_dialogue, welcomes)


def _by_frame(
    plain_dialogue: PlainDialogue, query_dialogue: QueryDialogue, welcomed: bool, data: dict[str, Any] | None
) -> Dialogue:
    if data is None:
        return query_dialogue if welcomed else plain_dialogue
    if "query" in data and not ("message" in data or "file" in data or "files" in data):
        return query_dialogue
    return plain_dialogue if {"message", "file", "files"} & data.keys() or not welcomed else query_dialogue
