"""A schedule and its occurrences as a person and a program read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.cli.output import NONE, moment

if TYPE_CHECKING:
    from dovecote.model import Occurrence, Schedule, ScheduleRecord

HOUR, MINUTE = 3600.0, 60.0


def schedule_json(record: ScheduleRecord) -> dict[str, Any]:
    """A schedule for programs: what it is, and where it stands."""
    from dovecote.schedule_form import schedule_form

    return {
        **schedule_form(record.schedule),
        "origin": record.origin,
        "version": record.version,
        "next_fire_at": record.next_fire_at,
        "due_at": record.due_at,
        "paused_at": record.paused_at,
        "created_at": record.created_at,
        "changed_at": record.changed_at,
    }


def next_text(record: ScheduleRecord) -> str:
    """When it fires next."""
    if record.paused_at is not None:
        return f"none, paused since {moment(record.paused_at)}"
    return moment(record.next_fire_at)


def when_text(schedule: Schedule) -> str:
    """Its recurrence, shortly."""
    from dovecote.schedule_form import timing_form

    form = timing_form(schedule.timing)
    match form:
        case {"cron": expression}:
            return str(expression)
        case {"every": seconds}:
            return f"every {seconds:g} s"
        case {"at": wall}:
            return f"at {wall}"
        case _:
            return f"{len(form['dates'])} dates"


def zone_text(schedule: Schedule) -> str:
    """Its zone."""
    return f"each recipient's, else {schedule.timing.zone}" if schedule.local_time else schedule.timing.zone


def to_text(schedule: Schedule) -> str:
    """Whom it goes to, shortly."""
    if schedule.to is None:
        return "everybody"
    return str(schedule.to[0]) if len(schedule.to) == 1 else f"{len(schedule.to):,} chats"


def occurrence_row(occurrence: Occurrence) -> list[str]:
    """What became of a fire time, as a row."""
    return [
        moment(occurrence.fire_at),
        occurrence.part or NONE,
        occurrence.happened.value,
        moment(occurrence.until),
        moment(occurrence.fired_at),
        f"{occurrence.notifications:,}" + (" so far" if occurrence.open else ""),
        occurrence.reason or NONE,
    ]


def time_text(seconds: float) -> str:
    """A time for people: at the bot's pace."""
    unit, of = next((each for each in (("hours", HOUR), ("minutes", MINUTE)) if seconds >= each[1]), ("s", 1.0))
    return f"{seconds / of:.1f} {unit} at the bot's pace."
