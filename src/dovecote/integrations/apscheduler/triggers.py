"""APScheduler's triggers as JSON: by what they were made with, with their zones, and made anew from it.

Exact classes only. A trigger of the user's own cannot be kept: nothing says how it would be made again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger, BaseCombiningTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from dovecote.errors import InvalidJob
from dovecote.integrations.apscheduler.values import decoded, encoded, read_zone, zone

if TYPE_CHECKING:
    from datetime import date, datetime

    from apscheduler.triggers.base import BaseTrigger

COMBINING: dict[str, type[BaseCombiningTrigger]] = {"and": AndTrigger, "or": OrTrigger}
TIME_OF_DAY = ("hour", "minute", "second")
PARTS = ("years", "months", "weeks", "days")


def write_trigger(trigger: BaseTrigger) -> dict[str, Any]:
    """A trigger as JSON. Raises InvalidJob for a class that is not APScheduler's own."""
    kind = type(trigger)
    if kind is DateTrigger:
        return {"kind": "date", "run_date": _instant(trigger.run_date)}
    if kind is IntervalTrigger:
        return {"kind": "interval", "interval": encoded(trigger.interval, "the interval"), **_window(trigger)}
    if kind is CronTrigger:
        fields = {field.name: str(field) for field in trigger.fields if not field.is_default}
        return {"kind": "cron", "fields": fields, **_window(trigger)}
    if kind is CalendarIntervalTrigger:
        at: list[int] = trigger.__getstate__()["time"]
        parts = {name: getattr(trigger, name) for name in PARTS}
        return {"kind": "calendar", "parts": parts, "time": at, **_window(trigger)}
    for name, combining in COMBINING.items():
        if kind is combining:
            triggers = [write_trigger(each) for each in trigger.triggers]
            return {"kind": name, "triggers": triggers, "jitter": trigger.jitter}
    raise InvalidJob(
        f"trigger: a {kind.__module__}.{kind.__qualname__} cannot be kept as JSON: use date, interval, cron or"
        " calendarinterval, or a combination of them by AndTrigger and OrTrigger."
    )


def _window(trigger: Any) -> dict[str, Any]:
    return {
        "zone": zone(trigger.timezone, "the trigger"),
        "start": _moment(trigger.start_date),
        "end": _moment(trigger.end_date),
        "jitter": trigger.jitter,
    }


def _moment(value: date | datetime | None) -> Any:
    return encoded(value, "the trigger's date") if value is not None else None


def _instant(value: datetime) -> Any:
    return encoded(value, "run_date")


@lru_cache(maxsize=4096)
def shared_trigger(text: str) -> BaseTrigger:
    """The trigger that was written, the same object for the same text: thousands of jobs may share a few.

    A cron trigger is a hundred objects, and a garbage collector that has to go over a million holds the process up.
    """
    return read_trigger(json.loads(text))


def read_trigger(written: dict[str, Any]) -> BaseTrigger:
    """The trigger that was written. Raises InvalidJob for a kind that this version does not know."""
    kind = written.get("kind")
    try:
        if kind == "date":
            return DateTrigger(run_date=decoded(written["run_date"]))
        if kind in COMBINING:
            triggers = [read_trigger(each) for each in written["triggers"]]
            return COMBINING[kind](triggers, jitter=written["jitter"])
        if kind not in {"interval", "cron", "calendar"}:
            raise InvalidJob(f"trigger: {kind!r} is no kind that this version knows: upgrade the program.")
        window = {
            "timezone": read_zone(written["zone"]),
            "start_date": decoded(written["start"]),
            "end_date": decoded(written["end"]),
            "jitter": written["jitter"],
        }
        if kind == "interval":
            return IntervalTrigger(seconds=decoded(written["interval"]).total_seconds(), **window)
        if kind == "cron":
            return CronTrigger(**written["fields"], **window)
        time_of_day = dict(zip(TIME_OF_DAY, written["time"], strict=True))
        return CalendarIntervalTrigger(**written["parts"], **time_of_day, **window)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidJob(f"trigger: {written!r} is not as this version writes them: upgrade the program.") from error
    except ValueError as error:
        if isinstance(error, InvalidJob):
            raise
        raise InvalidJob(f"trigger: {error}") from error
