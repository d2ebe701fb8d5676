"""Schedules: when something fires, to whom what is sent, and what becomes of fire times that were missed.

A local time (`wall`) is a naive datetime and stands in its schedule's zone; instants are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from dovecote.model.notification import Notification


@dataclass(frozen=True, slots=True)
class Cron:
    """By local time: five fields, or six with seconds first, names of months and days, `@daily` and its friends."""

    expression: str


@dataclass(frozen=True, slots=True)
class Every:
    """By elapsed time: `anchor`, a local time, and every `interval` before and after it. A clock change moves nothing.

    Without an anchor, whole intervals since 1970-01-01 in the schedule's zone.
    """

    interval: timedelta
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """One local time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Dates:
    """A list of local times."""

    at: Sequence[datetime]


Recurrence = Cron | Every | Once | Dates


class SkippedHour(StrEnum):
    """What becomes of a local time that a clock change leaves out."""

    SHIFT = "shift"
    """It fires as much later as the clock jumps: 02:30 at 03:30."""
    SKIP = "skip"
    """It does not fire."""


class RepeatedHour(StrEnum):
    """What becomes of a local time that a clock change brings twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class CatchUp(StrEnum):
    """What becomes of fire times that were found late by more than the grace."""

    NONE = "none"
    LATEST = "latest"
    """The newest fires, if it lies in the window and nothing newer is on time."""
    ALL = "all"
    """Every one in the window fires, the newest ones if there are more than the cap."""


class Overlap(StrEnum):
    """What happens at a fire time while notifications of the occurrence before are still in the outbox."""

    ALLOW = "allow"
    SKIP = "skip"


class FireTime(NamedTuple):
    """A planned instant, with the local time that it was planned as. The wall of a shifted one is the one left out."""

    at: datetime
    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When: a recurrence in a zone, and everything that decides its instants.

    `start` and `end` are local times, both inclusive. `jitter` delays each fire time by up to so much, by a hash of the
    schedule's name and the fire time, so that it is the same wherever it is computed. `repeated_hour` is by default
    `both` where a cron's hours begin with `*`, so that nothing pauses for an hour, and else `first`.
    """

    recurrence: Recurrence
    zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    jitter: timedelta = timedelta(0)
    skipped_hour: SkippedHour = SkippedHour.SHIFT
    repeated_hour: RepeatedHour | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What becomes of a fire time that is not like the others.

    Later than `grace` (after its jitter) a fire time counts as missed, and `catch_up` decides, over what lies at most
    `catch_up_window` back and for at most `catch_up_cap` of them. `window` is how long after its fire time a
    notification may still be sent; it expires then.
    """

    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window: timedelta = timedelta(days=1)
    catch_up_cap: int = 100
    grace: timedelta = timedelta(minutes=1)
    overlap: Overlap = Overlap.ALLOW
    window: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A rule by which notifications are enqueued, again and again.

    `notification` is what each recipient gets; its key, `due_at` and `expires_at` are the schedule's. `to` are the
    recipients: chats, or None for every recipient of the bot that has been told of, with a zone or without one; it may
    be left out when the notification has a `chat_id`. With `local_time` it fires in each recipient's own zone, by the
    wall times of `timing`; who has none is in the bot's zone, or in that of `timing` where the bot has none.
    """

    name: str
    timing: Timing
    notification: Notification
    to: Sequence[int | str] | None = ()
    local_time: bool = False
    policies: Policies = field(default_factory=Policies)


class Origin(StrEnum):
    """Where a schedule was made."""

    API = "api"
    FILE = "file"


class Missed(StrEnum):
    """What to do on resuming with the fire times that lie in the pause."""

    SKIP = "skip"
    CATCH_UP = "catch_up"
    """The schedule's own catch-up policy decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A schedule as it is kept. `due_at` is `next_fire_at` with its jitter; both are None when it does not fire again.

    `cursor` is the fire time up to which everything is decided.
    """

    id: int
    version: int
    schedule: Schedule
    origin: Origin
    cursor: FireTime
    next_fire_at: datetime | None
    due_at: datetime | None
    paused_at: datetime | None
    created_at: datetime
    changed_at: datetime


BY_HAND = "trigger"
"""The part of an occurrence that was asked for by hand."""


class Happened(StrEnum):
    """What became of a fire time."""

    FIRED = "fired"
    SKIPPED = "skipped"
    """The occurrence before was not finished."""
    MISSED = "missed"
    """Its catch-up policy, its window or its pause left it out, and all up to `until`."""
    FAILED = "failed"
    """Its notifications could not be made: `reason`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One firing. `part` is the zone of a schedule by local time, `trigger` for one by hand, else empty.

    `notifications` is how many were enqueued so far; while it is `open`, more will be.
    """

    schedule_id: int
    fire_at: datetime
    part: str
    wall: datetime
    happened: Happened
    reason: str | None
    until: datetime | None
    fired_at: datetime
    version: int
    notifications: int
    open: bool


@dataclass(frozen=True, slots=True)
class NextFire:
    """Where a schedule stands after a decision: up to where all is decided, and when it fires next."""

    cursor: FireTime
    fire_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlannedOccurrence:
    """An occurrence to be written. What has not `happened` as FIRED sends nothing.

    `again` lets it take the place of one that was missed or skipped. `expires_at` is when its notifications expire.
    """

    fire: FireTime
    part: str = ""
    happened: Happened = Happened.FIRED
    reason: str | None = None
    until: datetime | None = None
    expires_at: datetime | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """What one transaction is to do with a schedule, if its version and its cursor are still those that were read.

    Without `then` it is done by hand, and the schedule stays where it stands: its cursor, a pause and an overlap do not
    count.
    """

    record: ScheduleRecord
    occurrences: Sequence[PlannedOccurrence]
    then: NextFire | None


@dataclass(frozen=True, slots=True)
class DueSchedules:
    """What is due. `now` is the store's time; `next_due_in` the seconds until the next one, if any."""

    now: datetime
    records: Sequence[ScheduleRecord]
    next_due_in: float | None
    open_occurrences: bool = False


@dataclass(frozen=True, slots=True)
class Fired:
    """What a transaction has done, at `now` of the store's time: each occurrence with its schedule's record.

    What another instance was quicker with is not in it. `settled` are the ids of the schedules that it found as they
    were read.
    """

    now: datetime
    occurrences: Sequence[tuple[ScheduleRecord, PlannedOccurrence]] = ()
    settled: Sequence[int] = ()
    notifications: int = 0


@dataclass(frozen=True, slots=True)
class FannedOut:
    """A batch of an occurrence for many recipients: how many were enqueued, and whether it was the last batch."""

    schedule_id: int
    notifications: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedFire:
    """A fire time to come, in the schedule's own time with its offset and as an instant; `due_at` has its jitter."""

    local: datetime
    at: datetime
    due_at: datetime
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The next fire times, and what one of them costs: recipients, and seconds at the bot's pace (None: no limit)."""

    fires: Sequence[PreviewedFire]
    recipients: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying the schedules of a file has changed, by their names."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()
    unchanged: Sequence[str] = ()
