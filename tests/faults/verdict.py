"""What is checked at the end of a run: what is stored against what was said and what tabs were shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.faults.browser import Tab
from tests.faults.engine import NONSENSE
from tests.faults.record import ENDS, Counts, Frame, View, same
from tests.faults.script import Question, difference
from tests.faults.stage import Stage, Worker
from tests.faults.talks import Talk
from tests.operations.talk import call, open_socket

LAST_ATTEMPT = 3
ENGINE_CODES = {"engine_error", "engine_timeout", "engine_unavailable"}
AT_ONCE = 6
"""Conversations that are read at the same time."""

Message = tuple[str | None, str, str]
"""Turn, role, content."""


@dataclass(frozen=True)
class Stored:
    """A conversation as it is read anew: its log, and the messages of its history."""

    log: list[Frame]
    messages: list[Message]


async def judge(stage: Stage, talks: Sequence[Talk], counts: Counts, patience: float) -> None:
    """Counts everything that was lost, told twice, out of order, left open or stored otherwise.

    `patience`: seconds for what has to be read.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def judge_one(talk: Talk) -> None:
        async with places:
            await _judge(stage, talk, counts, patience)

    await asyncio.gather(*(judge_one(talk) for talk in talks))


async def _judge(stage: Stage, talk: Talk, counts: Counts, patience: float) -> None:
    tabs = (talk.asker, talk.watcher)
    known = max((view.last for tab in tabs for view in _views(tab, talk.label)), default=0)
    if not known:
        counts.found("lost", len(talk.asked), f"nothing of {talk.label} was accepted")
        return
    one, other = stage.workers
    messages, head = await _history(one, talk, counts)
    log = await _read_stream(one, talk, max(head, known), patience)
    if (messages, head) != await _history(other, talk, counts):
        counts.found("stored_differs", 1, f"the history of {talk.label} is not the same on both workers")
    if log != await _read_socket(other, talk, max(head, known), patience):
        counts.found("stored_differs", 1, f"the log of {talk.label} is not the same by stream and by socket")
    whole = check_log(talk.label, log, counts)
    for tab in tabs:
        if talk.label in tab.views and not await tab.reach(talk.label, max(whole, default=0), patience):
            missing = max(whole) - tab.views[talk.label].last
            counts.found("lost", missing, f"{tab.name} was never shown the end of {talk.label}")
        for view in _views(tab, talk.label):
            check_view(view, whole, counts)
    check_turns(talk, stage, Stored(log, messages), counts)


def check_log(label: str, log: Sequence[Frame], counts: Counts) -> dict[int, Frame]:
    """Numbers from 1 without a gap, none twice; the log by its numbers."""
    whole: dict[int, Frame] = {}
    for frame in log:
        if frame["seq"] in whole:
            counts.found("dup", 1, f"{frame['seq']} is twice in the log of {label}")
        elif whole and frame["seq"] < max(whole):
            counts.found("reordered", 1, f"{frame['seq']} stands wrongly in the log of {label}")
        whole[frame["seq"]] = frame
    counts.found("lost", max(whole, default=0) - len(whole), f"the log of {label} has holes")
    return whole


def check_view(view: View, whole: dict[int, Frame], counts: Counts) -> None:
    """What a tab was shown is what is stored."""
    for seq, frame in view.frames.items():
        if seq not in whole:
            counts.found("stored_differs", 1, f"{view.name} was shown {seq} of {view.label}, which is not stored")
        elif not same(whole[seq], frame):
            counts.found("dup", 1, f"{view.name} was shown {seq} of {view.label} with another body")


def check_turns(talk: Talk, stage: Stage, stored: Stored, counts: Counts) -> None:
    """Each question was accepted once, and its turn ended once and with the right words."""
    turns: dict[str, list[Frame]] = {}
    for frame in stored.log:
        turns.setdefault(frame["turn"], []).append(frame)
    by_name = {question.name: question for question in talk.asked}
    accepted: list[str] = []
    messages: list[Message] = []
    for turn, told in turns.items():
        counts.turns += 1
        first = told[0]
        question = by_name.get(first.get("id", "")) if first["type"] == "accepted" else None
        if question is None or first["message"] != question.message:
            counts.found("lost", 1, f"turn {turn} of {talk.label} begins with {first}")
            continue
        counts.found("dup", int(question.name in accepted), f"{question.name} was asked twice")
        accepted.append(question.name)
        end = _check_turn(question, told, counts)
        if end is None:
            continue
        counts.ends[end["code"] if end["type"] == "error" else end["type"]] += 1
        if end.get("code") == "internal":
            counts.given_up[turn] = question.name
        if end["type"] == "done":
            messages += [(turn, "user", question.message), (turn, "assistant", end["text"])]
        else:
            messages.append((turn, "user", question.message))
            _check_reason(talk, stage, question, told, end, counts)
    for question in talk.asked:
        if question.name not in accepted:
            counts.found("lost", 1, f"{question.name} was never accepted")
    if stored.messages != messages:
        counts.found("stored_differs", 1, f"the history of {talk.label} is not what was told")


def _check_turn(question: Question, events: Sequence[Frame], counts: Counts) -> Frame | None:
    """The turn's end; None where it has none."""
    text = ""
    ends: list[Frame] = []
    is_cut_short = False
    for event in events[1:]:
        if ends and not event.get("late"):
            counts.found("dup", 1, f"{question.name} goes on after its end with {event['type']}")
        match event["type"]:
            case "reset":
                text = ""
            case "delta":
                text += event["text"]
                is_cut_short = False
            case "reply":
                counts.found("lost", int(event["frame"] != NONSENSE), f"{question.name} has a reply of its own")
                is_cut_short = True  # a second of quiet behind such a frame ends the answer (contract section 4)
            case kind if kind in ENDS:
                ends.append(event)
    if not ends:
        counts.found("unterminated", 1, f"{question.name} has no end")
        return None
    end = ends[0]
    is_whole = end["type"] == "done" and not is_cut_short
    resets = sum(event["type"] == "reset" for event in events)
    where = f"the words of {question.name}, turn {end['turn']} ({end.get('code', end['type'])}, {resets} resets)"
    counts.differs(difference(question, text, may_end_early=not is_whole), where)
    if end["type"] == "done" and end["text"] != (text or NONSENSE):
        counts.found("stored_differs", 1, f"{question.name} is done with another text")
    return end


def _check_reason(
    talk: Talk, stage: Stage, question: Question, events: Sequence[Frame], end: Frame, counts: Counts
) -> None:
    """An answer that did not come to be has a reason in the faults that there were."""
    if end["type"] == "cancelled":
        counts.found("lost", int(question.name not in talk.cancelled), f"{question.name} was stopped by nobody")
        return
    if end["code"] in ENGINE_CODES:
        asked_at = talk.asked_at[question.name]
        ended_at = min(tab.ended[question.name][0] for tab in (talk.asker, talk.watcher) if tab.has_ended(question))
        is_excused = any(since <= ended_at and asked_at <= until for since, until in stage.engine_trouble)
    else:
        attempts = [event["attempt"] for event in events if event["type"] == "reset"]
        is_excused = end["code"] == "internal" and bool(attempts) and attempts[-1] == LAST_ATTEMPT
    counts.found("lost", int(not is_excused), f"{question.name} failed without a reason: {end}")


async def _history(worker: Worker, talk: Talk, counts: Counts) -> tuple[list[Message], int]:
    """A conversation's messages, and the number behind which its log goes on."""
    url = f"{worker.product.url}api/session/{quote(talk.label)}/messages/"
    status, answer = await asyncio.to_thread(call, url, Cookie=talk.cookie)
    if status != 200:
        counts.found("lost", 1, f"the history of {talk.label} cannot be read: {status} {answer}")
        return [], 0
    return [(told["turn"], told["role"], told["content"]) for told in answer["messages"]], answer["head"]


async def _read_stream(worker: Worker, talk: Talk, head: int, patience: float) -> list[Frame]:
    """The log as server-sent events tell it, to this number or as far as it goes."""
    log: list[Frame] = []
    url = f"{worker.product.url}api/session/{quote(talk.label)}/events/?after=0"
    still = aiohttp.ClientTimeout(total=None, sock_read=patience)
    with contextlib.suppress(TimeoutError):
        async with (
            aiohttp.ClientSession(headers={"Cookie": talk.cookie}, timeout=still, read_bufsize=2**24) as session,
            session.get(url) as answer,
        ):
            async for line in answer.content:
                if line.startswith(b"data: "):
                    log.append(json.loads(line.removeprefix(b"data: ")))
                if log and log[-1]["seq"] >= head:
                    break
    return log


async def _read_socket(worker: Worker, talk: Talk, head: int, patience: float) -> list[Frame]:
    """The log as a fresh socket is told it, to this number or as far as it goes."""
    log: list[Frame] = []
    url = f"ws://127.0.0.1:{worker.product.port}/ws/chat/"
    own = {"additional_headers": {"Cookie": talk.cookie}, "origin": worker.product.url.rstrip("/")}
    async with open_socket(url, "miva.v1", close_timeout=0.5, **own) as socket:
        await socket.send(json.dumps({"type": "resume", "conversation": talk.label, "after": 0}))
        with contextlib.suppress(TimeoutError):
            while not log or log[-1]["seq"] < head:
                frame: Any = json.loads(await asyncio.wait_for(socket.recv(), patience))
                if "seq" in frame:
                    log.append(frame)
    return log


def _views(tab: Tab, label: str) -> list[View]:
    """All that a tab was ever shown of a conversation."""
    now = [tab.views[label]] if label in tab.views else []
    return [*(view for view in tab.forgotten if view.label == label), *now]
