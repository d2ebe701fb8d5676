"""Jobs of APScheduler: their definitions as they are kept, and the record of their runs.

A *job* is a definition that APScheduler runs; a *run* is one execution of a job at a *fire time*. Jobs belong to a
*job store*, which is named for its key in Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class RunPolicy(StrEnum):
    """What becomes of a run that failed, or whose process was lost."""

    AT_MOST_ONCE = "at_most_once"
    """It is never run again."""
    RETRIED = "retried"
    """It is run again: what it did outside of the database may be done twice."""
    EXACTLY_ONCE = "exactly_once"
    """What it did through its unit of work was committed with its record, or undone; then it is run again."""


class RunState(StrEnum):
    """What is known of a run."""

    DUE = "due"
    """Planned, or waiting to be tried again."""
    RUNNING = "running"
    """Its process has it, under a lease."""
    DONE = "done"
    FAILED = "failed"
    """It raised, and is not tried again."""
    UNKNOWN = "unknown"
    """Its process was lost while it ran, and it must not run twice."""
    MISSED = "missed"
    """It was later than the job's `misfire_grace_time` allows."""
    SKIPPED = "skipped"
    """As many as `max_instances` allows were running."""
    CANCELLED = "cancelled"
    """The job was removed first."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as the database keeps it. `definition` is JSON text, perhaps of a format that this version cannot read."""

    store: str
    id: str
    definition: str
    revision: int
    next_run_at: datetime | None
    """None while it is paused, and when it has nothing left to do."""
    finished: bool
    """Its trigger has nothing left: it is kept only until its last run has ended."""
    created_at: datetime
    changed_at: datetime
    problem: str | None
    """Why the leader cannot run it; None when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A run so far."""

    store: str
    job_id: str
    fire_at: datetime
    state: RunState
    policy: RunPolicy
    attempts: int
    due_at: datetime | None
    """When it is due, or when its lease ends; None once it has ended."""
    coalesced: int
    """For how many earlier fire times it stands as well."""
    coalesced_from: datetime | None
    """The first of those."""
    term: int
    instance: str | None
    lease_token: int | None
    planned_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """An entry in Redis that stands in no database: it is kept there, and never run."""

    store: str
    id: str
    reason: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which run: there is one for each job and fire time."""

    job_id: str
    fire_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run that is to be: at `fire_at`, for `coalesced` earlier fire times as well, the first `coalesced_from`."""

    fire_at: datetime
    policy: RunPolicy
    coalesced: int = 0
    coalesced_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a leader wants of one job: these runs, and then `next_run_at`.

    It holds only while the job is at `revision` and its next run at `due_at`: whoever comes second plans nothing.
    """

    job_id: str
    revision: int
    due_at: datetime
    next_run_at: datetime | None
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run under a lease, whose `token` fences its end. `attempt` counts from 1."""

    key: RunKey
    attempt: int
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """What came of a run. With `retry_in` it is due again after that. `token` is None where it was never started."""

    key: RunKey
    state: RunState
    token: int | None = None
    error: str | None = None
    retry_in: timedelta | None = None
