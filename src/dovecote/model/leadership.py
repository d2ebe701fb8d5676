"""Leadership, as the stores, the elector and an operator know it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

DELIVERIES: Final = "leader"
"""The election of whoever does what one process alone should: schedules, broadcasts, retention, files."""
JOBS: Final = "jobs"
"""The election of whoever runs the jobs of APScheduler. Not every process that delivers can, or the reverse."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process. `id` is its own alone; host name and process id are for people and decide nothing."""

    id: str
    host: str
    pid: int
    version: str
    role: str
    """What it was started as: worker, run, scheduler."""


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """What the database knows of an instance: when it began, and when it was last heard of."""

    instance: Instance
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Term:
    """One tenure of one leader. `ended_at` is set by a leader that handed over; a crash leaves it open."""

    number: int
    instance: str
    begun_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One instance in a report. It is stale when it was not heard of for longer than a lease."""

    id: str
    host: str
    pid: int
    version: str
    role: str
    started_at: datetime
    seen_at: datetime
    leads: bool
    stale: bool
    silent_for: float
    """Seconds since it was last heard of, by the database's clock; it is heard of every `renew_interval`."""


@dataclass(frozen=True, slots=True)
class LeadershipReport:
    """Who leads, since when, in which term, and every instance there is: the leader first, then the oldest first.

    Without a leader `leader`, `term` and `since` are None; `problem` then says why nobody can tell, if so.
    """

    leader: str | None
    term: int | None
    since: datetime | None
    elected_by: str
    """Where the lease is: "redis" or "database"."""
    problem: str | None
    instances: tuple[Peer, ...]
    jobs: LeadershipReport | None = None
    """Of the election of whoever runs the jobs of APScheduler; None where nobody has stood for it."""
