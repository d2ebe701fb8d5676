"""Firing: what a transaction is to do with a due schedule, at the store's time. Pure.

Everything up to the cursor is decided. Between it and now lie the fire times that this decides: those on time fire,
those found late fire as the catch-up policy says, the rest is kept as one missed span. It looks from now backwards, so
a schedule of every second costs after a month's outage what it costs after a minute's.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, NamedTuple

from dovecote.model import CatchUp, FireTime, Firing, Happened, NextFire, PlannedOccurrence
from dovecote.recurrence import FireTimes, jitter_of
from dovecote.zones import is_zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dovecote.model import Schedule, ScheduleRecord

TICK = timedelta(microseconds=1)
AT_ONCE = 100
"""Occurrences of one schedule in one transaction at most; what is left is due at once again."""
UNKNOWN_ZONE = ""
"""The part of an occurrence that is for those whose zone nobody knows."""


class _Decision(NamedTuple):
    """What one zone's fire times between the cursor and now come to.

    `fires` are the oldest first, `missed` the first and the last one left out, `decided` the newest of all.
    """

    fires: Sequence[FireTime] = ()
    missed: tuple[FireTime, FireTime] | None = None
    decided: FireTime | None = None


def plan(record: ScheduleRecord, now: datetime, zones: Sequence[str] = (), bot_zone: str | None = None) -> Firing:
    """Decide the fire times of a schedule between its cursor and `now`.

    For a schedule by local time, `zones` are those that its recipients live in, `UNKNOWN_ZONE` among them for those in
    none; `bot_zone` is theirs.
    """
    schedule = record.schedule
    if schedule.local_time:
        return _plan_by_local_time(record, now, zones, bot_zone)
    times = FireTimes(schedule.timing)
    decision = _decide(schedule, times, record.cursor, now)
    fires = decision.fires[:AT_ONCE]
    cursor = decision.decided or record.cursor
    if len(fires) < len(decision.fires):
        cursor = fires[-1]
    return Firing(record, _occurrences(schedule, decision, fires), _following(schedule, times, cursor))


def following(schedule: Schedule, cursor: FireTime, zones: Sequence[str] = (), bot_zone: str | None = None) -> NextFire:
    """Where a schedule stands when everything up to `cursor` is decided."""
    if schedule.local_time:
        return _following_by_local_time(schedule, fire_times_by_zone(schedule, zones, bot_zone), cursor)
    return _following(schedule, FireTimes(schedule.timing), cursor)


def _following(schedule: Schedule, times: FireTimes, cursor: FireTime) -> NextFire:
    fire = times.next(cursor)
    if fire is None:
        return NextFire(cursor, None, None)
    return NextFire(cursor, fire.at, fire.at + delay(schedule, fire))


def cursor_at(schedule: Schedule, instant: datetime) -> FireTime:
    """The cursor that stands at an instant, whether or not it is a fire time."""
    if schedule.local_time:
        return at_instant(instant)
    return FireTime(instant, FireTimes(schedule.timing).zone.wall(instant.astimezone(UTC).replace(tzinfo=None)))


def delay(schedule: Schedule, fire: FireTime) -> timedelta:
    """The jitter of a fire time.

    A schedule by local time has one delay for all: with many, zones that follow each other closely would change places.
    """
    return jitter_of(schedule.name, None if schedule.local_time else fire, schedule.timing.jitter)


def at_instant(instant: datetime) -> FireTime:
    """A cursor that stands for an instant alone."""
    return FireTime(instant, instant.replace(tzinfo=None))


def expiry(schedule: Schedule, since: datetime) -> datetime | None:
    """When notifications expire whose window begins at `since`."""
    return None if schedule.policies.window is None else since + schedule.policies.window


def _decide(schedule: Schedule, times: FireTimes, cursor: FireTime | datetime, now: datetime) -> _Decision:
    newest = times.previous(now, later_than=cursor)
    while newest is not None and newest.at + delay(schedule, newest) > now:
        newest = times.previous(newest.at - TICK, later_than=cursor)
    if newest is None:
        return _Decision()
    policies = schedule.policies
    chosen: list[FireTime] = []
    caught_up = 0
    fire: FireTime | None = newest
    while fire is not None:
        expires_at = expiry(schedule, fire.at)
        if expires_at is not None and expires_at <= now:
            break
        if now - fire.at - delay(schedule, fire) > policies.grace:
            most = {CatchUp.NONE: 0, CatchUp.LATEST: 0 if chosen else 1, CatchUp.ALL: policies.catch_up_cap}
            if caught_up >= most[policies.catch_up] or now - fire.at > policies.catch_up_window:
                break
            caught_up += 1
        chosen.append(fire)
        fire = times.previous(fire.at - TICK, later_than=cursor)
    if fire is None:
        return _Decision(chosen[::-1], None, newest)
    return _Decision(chosen[::-1], (times.next(cursor) or fire, fire), newest)


def _occurrences(
    schedule: Schedule, decision: _Decision, fires: Sequence[FireTime], part: str = ""
) -> list[PlannedOccurrence]:
    found = [PlannedOccurrence(fire, part, expires_at=expiry(schedule, fire.at)) for fire in fires]
    if decision.missed is not None:
        first, last = decision.missed
        reason = "found too late for its catch-up policy or its window"
        until = last.at if last.at > first.at else None
        found.insert(0, PlannedOccurrence(first, part, Happened.MISSED, reason, until))
    return found


def fire_times_by_zone(schedule: Schedule, zones: Sequence[str], bot_zone: str | None) -> dict[str, FireTimes]:
    """The fire times of each part. A zone that this machine does not know is treated as none."""
    fallback = bot_zone if bot_zone is not None and is_zone(bot_zone) else schedule.timing.zone
    return {
        part: FireTimes(schedule.timing, part if part != UNKNOWN_ZONE and is_zone(part) else fallback) for part in zones
    } or {UNKNOWN_ZONE: FireTimes(schedule.timing, fallback)}


def _plan_by_local_time(record: ScheduleRecord, now: datetime, zones: Sequence[str], bot_zone: str | None) -> Firing:
    schedule, cursor = record.schedule, record.cursor
    parts = fire_times_by_zone(schedule, zones, bot_zone)
    occurrences: list[PlannedOccurrence] = []
    for part, times in parts.items():
        # Local times of different zones do not compare, so the cursor is an instant here.
        decision = _decide(schedule, times, record.cursor.at, now)
        occurrences += _occurrences(schedule, decision, decision.fires, part)
        if decision.decided is not None and decision.decided.at > cursor.at:
            cursor = at_instant(decision.decided.at)
    occurrences.sort(key=lambda planned: (planned.fire.at, planned.part))
    return Firing(record, occurrences, _following_by_local_time(schedule, parts, cursor))


def _following_by_local_time(schedule: Schedule, parts: dict[str, FireTimes], cursor: FireTime) -> NextFire:
    fires = [fire for fire in (times.next(cursor.at) for times in parts.values()) if fire is not None]
    if not fires:
        return NextFire(cursor, None, None)
    first = min(fires)
    return NextFire(cursor, first.at, first.at + delay(schedule, first))
