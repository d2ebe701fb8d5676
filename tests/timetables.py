"""Schedules for tests: short ways to make them, and to see what became of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dovecote.firing import plan
from dovecote.model import Cron, Every, Notification, Policies, Schedule, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outboxes import Outbox

    from dovecote.model import Fired, Recurrence, ScheduleRecord

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def schedule(
    name: str = "digest",
    recurrence: Recurrence | str = "* * * * *",
    *,
    zone: str = "UTC",
    to: Sequence[int | str] | None = (7,),
    text: str = "Good morning",
    bot: str = "shop",
    local_time: bool = False,
    policies: dict[str, Any] | None = None,
    **timing: Any,
) -> Schedule:
    """A schedule of every minute for the chat 7, unless said otherwise."""
    recurrence = Cron(recurrence) if isinstance(recurrence, str) else recurrence
    return Schedule(
        name=name,
        timing=Timing(recurrence=recurrence, zone=zone, **timing),
        notification=Notification(bot=bot, text=text),
        to=to,
        local_time=local_time,
        policies=Policies(**(policies or {})),
    )


def every(seconds: float) -> Every:
    """So many seconds apart, counted from the test's beginning."""
    return Every(timedelta(seconds=seconds), datetime(2026, 1, 5, 12))


async def fire_due(outbox: Outbox, *, limit: int = 100) -> Fired:
    """What a scheduler does once, in one transaction."""
    due = await outbox.firing.due(limit=limit, overdue_by=timedelta(0))
    homes = {each.id: await outbox.firing.homes(each.schedule) for each in due.records if each.schedule.local_time}
    return await outbox.firing.fire([plan(each, due.now, *homes.get(each.id, ())) for each in due.records])


async def fan_out(outbox: Outbox, *, limit: int = 100) -> list[int]:
    """Go on with what is open until nothing is; answers the sizes of the batches."""
    sizes = []
    while (done := await outbox.firing.fan_out(limit=limit)) is not None:
        sizes.append(done.notifications)
    return sizes


async def enqueued(outbox: Outbox) -> list[tuple[str, str]]:
    """Chat and text of what is in the outbox, in the order of ids."""
    return [(row.chat, row.params["text"]) for row in await outbox.rows("notification")]


async def fired_at(outbox: Outbox, name: str = "digest") -> dict[str, str]:
    """What became of the fire times of a schedule, by their time of day in UTC and their part."""
    found = await outbox.schedules.occurrences(name, limit=10_000)
    return {f"{each.fire_at:%H:%M:%S} {each.part}".strip(): each.happened.value for each in reversed(found)}


def instant(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def with_text(record: ScheduleRecord, text: str) -> Schedule:
    """The same schedule, saying something else."""
    return replace(record.schedule, notification=replace(record.schedule.notification, text=text))
