"""Rows of schedules and occurrences, to and from what the ports speak of."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dovecote.model import FireTime, Happened, Occurrence, Origin, Schedule, ScheduleRecord
from dovecote.schedule_form import (
    notification_form,
    notification_of,
    policies_form,
    policies_of,
    timing_form,
    timing_of,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from dovecote.model import NextFire, Notification


def definition(schedule: Schedule, bot_id: int) -> dict[str, Any]:
    """The columns that a definition decides."""
    return {
        "recurrence": written(timing_form(schedule.timing)),
        "zone": schedule.timing.zone,
        "bot_id": bot_id,
        "sends": sends(schedule, local_time=schedule.local_time),
        "local_time": schedule.local_time,
        "policies": written(policies_form(schedule.policies)),
    }


def standing(then: NextFire, *, paused: bool = False) -> dict[str, Any]:
    """The columns that say where a schedule stands."""
    return {
        "cursor_at": then.cursor.at,
        "cursor_wall": then.cursor.wall.isoformat(),
        "next_fire_at": then.fire_at,
        "due_at": None if paused else then.due_at,
    }


def sends(schedule: Schedule, *, local_time: bool) -> str:
    """What is sent and to whom, as text."""
    to = None if schedule.to is None else list(schedule.to)
    form = {"notification": notification_form(schedule.notification), "to": to, "local_time": local_time}
    return written(form)


def sends_of(text: str) -> tuple[Notification, Sequence[str] | None, bool]:
    """What is sent, to whom (None: to all that were told of), and whether by local time."""
    form = json.loads(text)
    return notification_of(form["notification"]), form["to"], form["local_time"]


def record_of(row: Row[Any]) -> ScheduleRecord:
    """Read a row of `schedule`."""
    notification, to, local_time = sends_of(row.sends)
    return ScheduleRecord(
        id=row.id,
        version=row.version,
        schedule=Schedule(
            name=row.name,
            timing=timing_of(json.loads(row.recurrence), row.zone),
            notification=notification,
            to=None if to is None else tuple(to),
            local_time=local_time,
            policies=policies_of(json.loads(row.policies)),
        ),
        origin=Origin(row.origin),
        cursor=FireTime(row.cursor_at, datetime.fromisoformat(row.cursor_wall)),
        next_fire_at=row.next_fire_at,
        due_at=row.due_at,
        paused_at=row.paused_at,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def occurrence_of(row: Row[Any]) -> Occurrence:
    """Read a row of `occurrence`."""
    return Occurrence(
        schedule_id=row.schedule_id,
        fire_at=row.fire_at,
        part=row.part,
        wall=datetime.fromisoformat(row.wall),
        happened=Happened(row.happened),
        reason=row.reason,
        until=row.until,
        fired_at=row.fired_at,
        version=row.version,
        notifications=row.notifications,
        open=row.turn_at is not None,
    )
