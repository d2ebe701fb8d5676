"""A schedule and its occurrences as a person and a program read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.cli.output import NONE, moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from dovecote.model import Occurrence, Preview, Schedule, ScheduleRecord

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


def zone_text(schedule: Schedule, bot_zones: Mapping[str, str | None]) -> str:
    """Its zone. Who has none by local time lives in the bot's, and where that has none, in the schedule's."""
    if not schedule.local_time:
        return schedule.timing.zone
    bot_zone = bot_zones.get(schedule.notification.bot)
    return (
        f"each recipient's, else {bot_zone}, the bot's"
        if bot_zone
        else f"each recipient's, else {schedule.timing.zone}"
    )


def schedule_facts(record: ScheduleRecord, bot_zones: Mapping[str, str | None]) -> dict[str, str]:
    """A schedule for people: what it is, and where it stands."""
    schedule = record.schedule
    return {
        "name": schedule.name,
        "when": when_text(schedule),
        "zone": zone_text(schedule, bot_zones),
        **_timing_facts(schedule),
        "next fire time": next_text(record),
        **({"due, with its jitter": moment(record.due_at)} if schedule.timing.jitter else {}),
        "bot": schedule.notification.bot,
        "to": to_text(schedule),
        "says": schedule.notification.text or schedule.notification.method,
        **_file_facts(schedule),
        "delivery": schedule.notification.delivery.replace("_", " "),
        **_policy_facts(schedule),
        "made": f"{moment(record.created_at)}, {'in the settings file' if record.origin == 'file' else 'by hand'}",
        "changed": f"{moment(record.changed_at)}, version {record.version}",
    }


def _file_facts(schedule: Schedule) -> dict[str, str]:
    """The stored files that it sends."""
    from dovecote.content import plain_params
    from dovecote.references import slots

    notification = schedule.notification
    found = slots(notification.method, plain_params(notification.params))
    return {"files": ", ".join(f"{slot.field}: file {slot.file_id}" for slot in found)} if found else {}


def _timing_facts(schedule: Schedule) -> dict[str, str]:
    """What of its timing is not in `when_text`, as far as it is given."""
    timing = schedule.timing
    given = {"start": timing.start, "end": timing.end, "jitter": _span(timing.jitter) if timing.jitter else None}
    return {name: str(value) for name, value in given.items() if value is not None}


def _span(duration: timedelta) -> str:
    return str(duration).removesuffix(", 0:00:00")


def _policy_facts(schedule: Schedule) -> dict[str, str]:
    """Its policies, those by default as well."""
    from dovecote.model import CatchUp

    policies = schedule.policies
    catch_up = policies.catch_up.value
    if policies.catch_up is not CatchUp.NONE:
        catch_up += f", of the last {_span(policies.catch_up_window)}"
    if policies.catch_up is CatchUp.ALL:
        catch_up += f", {policies.catch_up_cap} at most"
    return {
        "window": NONE if policies.window is None else _span(policies.window),
        "catch-up": catch_up,
        "grace": _span(policies.grace),
        "overlap": policies.overlap.value,
    }


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


def preview_json(preview: Preview) -> dict[str, Any]:
    """A preview for programs."""
    return {
        "fires": [
            {"at": each.at, "local": each.local.isoformat(), "zone": each.zone, "due_at": each.due_at}
            for each in preview.fires
        ],
        "recipients": preview.recipients,
        "seconds": preview.seconds,
    }


def cost_text(schedule: Schedule, preview: Preview) -> str:
    """Whom a fire time goes to, and how long that takes."""
    people = f"{preview.recipients:,} recipient{'' if preview.recipients == 1 else 's'}"
    whom = f"Each goes to {people}"
    if schedule.local_time:
        whom = f"Each goes to those who live in its zone; all zones together are {people}"
    return whom + ("; the bot has no pace." if preview.seconds is None else f": {_time_text(preview.seconds)}")


def _time_text(seconds: float) -> str:
    """A time for people: at the bot's pace."""
    unit, of = next((each for each in (("hours", HOUR), ("minutes", MINUTE)) if seconds >= each[1]), ("s", 1.0))
    return f"{seconds / of:.1f} {unit} at the bot's pace."
