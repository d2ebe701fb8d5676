"""The jobs in memory: what the scheduler's calls look at, and what tells the leader which job is due next.

Filled from the database alone. The lock is held for moments only, so the event loop may take it.
"""

from __future__ import annotations

import heapq
import threading
from dataclasses import fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from dovecote.errors import InvalidJob
from dovecote.integrations.apscheduler.definitions import Definition, read_definition
from dovecote.model import StoredJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

_VALUES = attrgetter(*(field.name for field in fields(StoredJob)))


class Known:
    """A job as the database has it, and its definition, or why this process cannot run it.

    What is stored is kept as a tuple of plain values, which the garbage collector forgets: with thousands of jobs each
    of its passes would be long, and a new object for each job that moves on would bring another pass.
    """

    __slots__ = ("_stored", "definition", "problem")

    def __init__(self, stored: StoredJob, definition: Definition | None, problem: str | None) -> None:
        self.stored = stored
        self.definition = definition
        self.problem = problem

    @property
    def stored(self) -> StoredJob:
        """As the database has it, made anew at each look."""
        return StoredJob(*self._stored)

    @stored.setter
    def stored(self, stored: StoredJob) -> None:
        self._stored: tuple[Any, ...] = _VALUES(stored)


def known(stored: StoredJob) -> Known:
    """Read a job's definition. It may import a module."""
    try:
        return Known(stored, read_definition(stored.definition), None)
    except InvalidJob as error:
        return Known(stored, None, str(error))
    except Exception as error:  # noqa: BLE001 (a module that is imported may raise anything)
        return Known(stored, None, f"it cannot be read here: {type(error).__name__}: {error}")


class Mirror:
    """The jobs by id, and those that will run by their next run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._next: list[tuple[datetime, str]] = []

    def put(self, job: Known) -> bool:
        """Take a job in, unless a later revision of it is known; answers whether it was taken."""
        stored = job.stored
        with self._lock:
            before = self._known.get(stored.id)
            if before is not None and _version(before.stored) > _version(stored):
                return False
            self._known[stored.id] = job
            if stored.next_run_at is not None and job.definition is not None:
                heapq.heappush(self._next, (stored.next_run_at, stored.id))
            return True

    def moved(self, moves: Mapping[str, tuple[int, datetime | None]]) -> None:
        """Take in the next runs of these jobs, where they are at that revision; None for one that is finished."""
        with self._lock:
            for job_id, (revision, next_run_at) in moves.items():
                job = self._known.get(job_id)
                if job is None or (stored := job.stored).revision != revision:
                    continue
                job.stored = replace(stored, next_run_at=next_run_at, finished=next_run_at is None)
                if next_run_at is not None and job.definition is not None:
                    heapq.heappush(self._next, (next_run_at, job_id))

    def drop(self, ids: Iterable[str]) -> None:
        """Forget these."""
        with self._lock:
            for job_id in ids:
                self._known.pop(job_id, None)

    def get(self, job_id: str) -> Known | None:
        """A job, finished or not."""
        with self._lock:
            return self._known.get(job_id)

    def all(self) -> list[Known]:
        """Every job, finished ones among them, in no order."""
        with self._lock:
            return list(self._known.values())

    def due(self, now: datetime, limit: int) -> list[Known]:
        """Take out up to `limit` jobs whose next run is not after `now`, the earliest first; to be put back."""
        found: dict[str, Known] = {}
        with self._lock:
            while self._next and self._next[0][0] <= now and len(found) < limit:
                next_run_at, job_id = heapq.heappop(self._next)
                job = self._known.get(job_id)
                # An entry of the heap is left behind when the job's next run changes.
                if job is not None and job.definition is not None and job.stored.next_run_at == next_run_at:
                    found[job_id] = job
        return list(found.values())

    def put_back(self, jobs: Iterable[Known]) -> None:
        """Let these be due again."""
        with self._lock:
            for job in jobs:
                now = self._known.get(job.stored.id)
                if now is not None and now.stored.next_run_at is not None and now.definition is not None:
                    heapq.heappush(self._next, (now.stored.next_run_at, job.stored.id))

    def next_run_at(self) -> datetime | None:
        """When to look again; perhaps too early."""
        with self._lock:
            return self._next[0][0] if self._next else None


def _version(stored: StoredJob) -> tuple[datetime, int]:
    # One that was removed and added anew begins again with revision 1.
    return stored.created_at, stored.revision
