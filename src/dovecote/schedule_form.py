"""A schedule as JSON, and back: how the store keeps it and how the command line prints it. Pure.

Durations are seconds, local times ISO 8601 without a zone, stored files as `references` writes them. What is as usual
is left out. Notifications of an occurrence are made here as well, so that whoever writes them gives them the same key.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dovecote.content import plain_params
from dovecote.model import (
    CatchUp,
    Cron,
    Dates,
    DeliveryPolicy,
    Every,
    Notification,
    Once,
    Overlap,
    Policies,
    Priority,
    Quiet,
    Recurrence,
    RepeatedHour,
    SkippedHour,
    Timing,
)
from dovecote.references import restored

if TYPE_CHECKING:
    from dovecote.model import PlannedOccurrence, Schedule

MICROSECOND = timedelta(microseconds=1)


def timing_form(timing: Timing) -> dict[str, Any]:
    """Everything of a timing but its zone."""
    return _recurrence_form(timing.recurrence) | _given(
        start=None if timing.start is None else timing.start.isoformat(),
        end=None if timing.end is None else timing.end.isoformat(),
        jitter=timing.jitter.total_seconds() or None,
        skipped_hour=None if timing.skipped_hour is SkippedHour.SHIFT else str(timing.skipped_hour),
        repeated_hour=None if timing.repeated_hour is None else str(timing.repeated_hour),
    )


def _recurrence_form(recurrence: Recurrence) -> dict[str, Any]:
    match recurrence:
        case Cron(expression):
            return {"cron": expression}
        case Every(interval, anchor):
            return {"every": interval.total_seconds()} | _given(anchor=anchor and anchor.isoformat())
        case Once(at):
            return {"at": at.isoformat()}
        case Dates(at):
            return {"dates": [wall.isoformat() for wall in at]}


def timing_of(form: dict[str, Any], zone: str) -> Timing:
    """The timing that `timing_form` has written."""
    repeated = form.get("repeated_hour")
    return Timing(
        recurrence=_recurrence_of(form),
        zone=zone,
        start=_wall(form.get("start")),
        end=_wall(form.get("end")),
        jitter=timedelta(seconds=form.get("jitter", 0)),
        skipped_hour=SkippedHour(form.get("skipped_hour", SkippedHour.SHIFT)),
        repeated_hour=None if repeated is None else RepeatedHour(repeated),
    )


def _recurrence_of(form: dict[str, Any]) -> Recurrence:
    if "cron" in form:
        return Cron(form["cron"])
    if "every" in form:
        return Every(timedelta(seconds=form["every"]), _wall(form.get("anchor")))
    if "at" in form:
        return Once(datetime.fromisoformat(form["at"]))
    return Dates(tuple(map(datetime.fromisoformat, form["dates"])))


def policies_form(policies: Policies) -> dict[str, Any]:
    """What is not by default."""
    usual = Policies()
    changed = {
        each.name: getattr(policies, each.name)
        for each in fields(policies)
        if getattr(policies, each.name) != getattr(usual, each.name)
    }
    return {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in changed.items()}


def policies_of(form: dict[str, Any]) -> Policies:
    """The policies that `policies_form` has written."""
    given = dict(form)
    for name in ("catch_up_window", "grace", "window"):
        if name in given:
            given[name] = timedelta(seconds=given[name])
    for name, choice in (("catch_up", CatchUp), ("overlap", Overlap)):
        if name in given:
            given[name] = choice(given[name])
    return Policies(**given)


def notification_form(notification: Notification) -> dict[str, Any]:
    """What a schedule sends."""
    return {"bot": notification.bot} | _given(
        text=notification.text,
        method=None if notification.method == "sendMessage" else notification.method,
        params=plain_params(notification.params) or None,
        priority=None if notification.priority == Priority.NORMAL else int(notification.priority),
        delivery=None if notification.delivery == DeliveryPolicy.AT_LEAST_ONCE else str(notification.delivery),
        labels=list(notification.labels) or None,
        category=notification.category,
        quiet=None if notification.quiet is None else str(notification.quiet),
    )


def notification_of(form: dict[str, Any]) -> Notification:
    """The notification that `notification_form` has written."""
    return Notification(
        bot=form["bot"],
        text=form.get("text"),
        method=form.get("method", "sendMessage"),
        params=restored(form.get("params", {})),
        priority=Priority(form.get("priority", Priority.NORMAL)),
        delivery=DeliveryPolicy(form.get("delivery", DeliveryPolicy.AT_LEAST_ONCE)),
        labels=tuple(form.get("labels", ())),
        category=form.get("category"),
        quiet=None if form.get("quiet") is None else Quiet(form["quiet"]),
    )


def written(form: dict[str, Any]) -> str:
    """The form as JSON text."""
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"))


def schedule_form(schedule: Schedule) -> dict[str, Any]:
    """The whole schedule, for people and programs."""
    return {
        "name": schedule.name,
        "timing": {"zone": schedule.timing.zone, **timing_form(schedule.timing)},
        "notification": notification_form(schedule.notification),
        "to": None if schedule.to is None else list(schedule.to),
        "local_time": schedule.local_time,
        "policies": policies_form(schedule.policies),
    }


def canonical(schedule: Schedule) -> str:
    """The schedule as text by which two are compared."""
    return json.dumps(schedule_form(schedule), ensure_ascii=False, sort_keys=True)


def key_of(schedule_id: int, planned: PlannedOccurrence, chat: str, *, local_time: bool) -> str:
    """The key of an occurrence's notification to a chat.

    By local time it is the local time's alone, whatever the zone: who moves gets one.
    """
    if local_time:
        return f"schedule:{schedule_id}:{planned.fire.wall.isoformat()}:{chat}"
    at = planned.fire.at.isoformat(timespec="microseconds").removesuffix("+00:00")
    return f"schedule:{schedule_id}:{at}:{planned.part}:{chat}"


def notification_to(
    template: Notification, schedule_id: int, planned: PlannedOccurrence, chat: str, *, local_time: bool
) -> Notification:
    """What an occurrence sends to a chat."""
    key = key_of(schedule_id, planned, chat, local_time=local_time)
    return replace(template, chat_id=chat, key=key, expires_at=planned.expires_at)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _wall(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
