"""The one thread of a process that writes the event log: what arrives while a commit is under way shares the next one.

It has a database connection of its own, so that nothing else in the process (a password hash, a long query) stands
between an answer and its reader.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from django.utils import timezone

from miva import log_rows
from miva.database_away import in_words, note
from miva.log_rows import Entry, Fenced, FencedOff, Row, Stored, Work
from miva.protocol.errors import NotFound

logger = logging.getLogger("miva.eventlog")

AWAY = (OperationalError, InterfaceError, InternalError)
"""What the database says when it is locked, started again or gone: the same may work in a moment."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
LOCKED_PAUSE_S = 0.003
"""Until a conversation is looked at again that another process has locked."""
LAST_COMMIT_S = 5.0
MOST_AT_ONCE = 500
"""Works of one commit."""

Result = list[Stored] | Exception


@dataclass(slots=True, eq=False)
class Job:
    """A work to be done, and who waits for it."""

    conversation_id: UUID
    work: Work
    waiter: Any
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Commit:
    """What one commit writes, and what becomes of its jobs."""

    at: datetime = field(default_factory=timezone.now)
    rows: list[Row] = field(default_factory=list)
    results: list[tuple[Job, Result]] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    """Jobs whose conversation somebody else has locked."""
    is_whole: bool = False
    """All is written but for the commit itself."""


class Writer:
    """The thread and what waits for it; it starts with the first job."""

    def __init__(
        self,
        on_commit: Callable[[Sequence[Row]], None],
        settle: Callable[[Sequence[tuple[Job, Result]]], None],
        patience_s: float,
    ) -> None:
        """Both are called in the thread: `on_commit` with each commit's rows, then `settle` with what became of jobs.

        `patience_s`: how long jobs are tried again while the database is away.
        """
        self._on_commit = on_commit
        self._settle = settle
        self._patience_s = patience_s
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self.commits = 0
        """How many there were; fewer than jobs where these came faster."""

    def put(self, job: Job) -> None:
        """Has a job done; returns at once. Those of one conversation are done in the order they came."""
        with self._changed:
            self._jobs.append(job)
            if self._thread is None:
                self._is_closing = False
                self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread when all that waits is written; blocks, for some seconds at most. A later job starts it."""
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify()
        if thread is not None:
            thread.join(LAST_COMMIT_S)

    def _run(self) -> None:
        while jobs := self._next():
            try:
                self._do(jobs)
            except BaseException as why:  # a defect: who waits must hear of it, and the thread must go on
                logger.exception("The event log failed")
                self._settle([(job, RuntimeError(repr(why))) for job in jobs])
        self._drop_connection()

    def _next(self) -> list[Job]:
        with self._changed:
            while not self._jobs:
                if self._is_closing:
                    self._thread = None
                    return []
                self._changed.wait()
            return [self._jobs.popleft() for _ in range(min(MOST_AT_ONCE, len(self._jobs)))]

    def _do(self, jobs: list[Job]) -> None:
        """Commits the jobs, again while the database is away, and tells what became of them."""
        in_doubt: Commit | None = None
        deadline, pause = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            commit = Commit()
            try:
                commit = self._commit(jobs, commit, in_doubt)
                break
            except AWAY as why:
                # Where it broke in the commit itself, only the log can tell whether that was carried out.
                in_doubt = commit if commit.is_whole else in_doubt
                self._drop_connection()
                if time.monotonic() > deadline or self._is_closing:
                    logger.error("The database did not take events: %s", in_words(why))
                    self._settle([(job, why) for job in jobs])
                    return
                if pause == FIRST_PAUSE_S:  # one line, however often
                    note(logger, logging.WARNING, "The database does not take events (%s); trying again", why)
            except Exception as why:
                if len(jobs) == 1:
                    self._settle([(jobs[0], why)])
                    return
                for job in jobs:  # a check at the commit itself does not tell whose work was wrong
                    self._do([job])
                return
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_S, 2 * pause)
        self.commits += 1
        if commit.rows:
            self._on_commit(commit.rows)
        self._settle(commit.results)
        self._put_back(commit.left)

    def _commit(self, jobs: Sequence[Job], commit: Commit, in_doubt: Commit | None) -> Commit:
        by_conversation: dict[UUID, list[Job]] = {}
        for job in jobs:
            by_conversation.setdefault(job.conversation_id, []).append(job)
        with transaction.atomic():
            locked = log_rows.lock(sorted(by_conversation))
            if in_doubt is not None and self._was_carried_out(in_doubt, locked):
                return in_doubt
            held = _held([by_conversation[id] for id in locked])
            heads: dict[UUID, int] = {}
            unwritten: list[Row] = []
            for id, (label, head) in locked.items():
                for job in by_conversation[id]:
                    if not isinstance(job.work, Fenced):  # it may read the log
                        log_rows.insert(unwritten, commit.at)
                        unwritten = []
                    try:
                        rows = _rows(job, label, head, held, is_alone=len(jobs) == 1)
                    except AWAY:
                        raise
                    except Exception as why:
                        commit.results.append((job, why))
                        continue
                    commit.results.append((job, [row.stored for row in rows]))
                    commit.rows += rows
                    unwritten += rows
                    if rows:
                        heads[id] = head = head + len(rows)
            log_rows.finish(unwritten, commit.at, heads)
            if len(locked) < len(by_conversation):
                self._leave([job for job in jobs if job.conversation_id not in locked], commit)
            commit.is_whole = True
        return commit

    def _leave(self, jobs: Sequence[Job], commit: Commit) -> None:
        """Leaves jobs to the next commit whose conversation somebody else has locked; for some there is no next."""
        there = log_rows.existing(list({job.conversation_id for job in jobs}))
        for job in jobs:
            if job.conversation_id not in there:
                commit.results.append((job, NotFound("There is no such conversation.")))
            elif time.monotonic() - job.since > self._patience_s:
                commit.results.append((job, OperationalError("The conversation is locked by another process.")))
            else:
                commit.left.append(job)

    def _put_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            with self._changed:
                if not self._jobs:
                    self._changed.wait(LOCKED_PAUSE_S)
                self._jobs.extendleft(reversed(jobs))

    def _was_carried_out(self, before: Commit, locked: dict[UUID, tuple[str, int]]) -> bool:
        """Whether a commit was, whose connection broke: as we have a lock that it held, it has ended one way or other.

        Raises OperationalError where that cannot be said yet.
        """
        if not before.rows:
            return False
        known = next((row for row in before.rows if row.stored.conversation_id in locked), None)
        if known is not None:
            return log_rows.is_written(known, before.at)
        if log_rows.existing([row.stored.conversation_id for row in before.rows]):
            raise OperationalError("A connection that broke still holds its locks.")
        return False

    def _drop_connection(self) -> None:
        try:
            connection.close()
        except Exception:  # it is gone already
            connection.connection = None


def _held(groups: Iterable[Sequence[Job]]) -> dict[Job, bool]:
    """Of the jobs of conversations in which nothing else happens in this commit: whether their fences are held."""
    plain = [
        (job, job.work)
        for group in groups
        if all(isinstance(job.work, Fenced) for job in group)
        for job in group
        if isinstance(job.work, Fenced)
    ]
    held = log_rows.held([work for _, work in plain]) if plain else set()
    return {job: work.fence in held for job, work in plain}


def _rows(job: Job, label: str, head: int, held: dict[Job, bool], *, is_alone: bool) -> list[Row]:
    """What a work logs; where it fails nothing is left of it, at no more cost than that needs."""
    work = job.work

    def numbered(entries: Sequence[Entry]) -> list[Row]:
        return log_rows.number(job.conversation_id, label, head, entries)

    if isinstance(work, Fenced):
        if not held.get(job, True):
            raise FencedOff
        return numbered(work.entries() if job in held else work(head))
    if is_alone:
        try:
            return numbered(work(head))
        except Exception:
            transaction.set_rollback(True)
            raise
    with transaction.atomic():
        return numbered(work(head))
