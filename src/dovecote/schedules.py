"""Schedules, as an application and its operator work with them: `Dovecote.schedules`.

Each call is a transaction of its own, or a part of the application's by `within`. A schedule is changed by a comparison
with what was read, so a change and a firing that meet are put into an order by the database: the one that comes second
sees what the first has done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from dovecote.content import shown
from dovecote.errors import InvalidSchedule, StoreUnavailable, UnknownSchedule
from dovecote.firing import cursor_at, delay, expiry, fire_times_by_zone, following
from dovecote.model import (
    BY_HAND,
    Applied,
    FireTime,
    Firing,
    Happened,
    Missed,
    NextFire,
    Origin,
    PlannedOccurrence,
    Preview,
    PreviewedFire,
)
from dovecote.recurrence import FireTimes
from dovecote.schedule_checks import checked_choice, checked_schedule
from dovecote.schedule_form import canonical
from dovecote.validation import prepared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from dovecote.model import Occurrence, Schedule, ScheduleRecord
    from dovecote.ports import BotStore, ScheduleBook, ScheduleStore

EARLIEST_YEAR: Final = 1970
MOST_BACKFILLED: Final = 1000
MOST_PREVIEWED: Final = 1000
OCCURRENCES_AT_ONCE: Final = 50
# A change that meets another one is made again upon what that one left.
TRIES: Final = 50
PAGE: Final = 500


class Schedules:
    """What schedules there are, and everything that is done with them by hand."""

    def __init__(
        self, book: ScheduleBook, store: ScheduleStore, bots: BotStore, *, within: Callable[[object], Schedules]
    ) -> None:
        self._book = book
        self._store = store
        self._bots = bots
        self._within = within

    def within(self, connection: object) -> Schedules:
        """The same schedules, in the transaction that is open on `connection`, as `Dovecote.enqueue` takes one.

        What is done with the answer is kept if the application commits, and otherwise nothing is left of it. It begins,
        commits and repeats nothing; errors of the application's driver come out as they are. A schedule that was
        changed stays locked until the transaction ends, so that it does not fire meanwhile. Each call also raises
        UnsupportedConnection, WrongDatabase and NotMigrated.
        """
        return self._within(connection)

    # Definitions.

    async def add(self, schedule: Schedule) -> ScheduleRecord:
        """Keep a schedule; it fires from now on. Raises InvalidSchedule, InvalidNotification, UnknownBot."""
        return await self._add(schedule, Origin.API)

    async def _add(self, schedule: Schedule, origin: Origin) -> ScheduleRecord:
        now = await self._book.clock()
        schedule = checked_schedule(schedule, now)
        return await self._book.add(schedule, origin, await self._following(schedule, cursor_at(schedule, now)))

    async def get(self, name: str) -> ScheduleRecord:
        """The schedule of that name. Raises UnknownSchedule."""
        return await self._book.get(name)

    async def list(self, *, after_name: str | None = None, limit: int = 50) -> Sequence[ScheduleRecord]:
        """Schedules by name, a page at a time."""
        return await self._book.page(after_name=after_name, limit=limit)

    async def occurrences(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Sequence[Occurrence]:
        """What became of its fire times, the newest first, a page at a time. Raises UnknownSchedule."""
        return await self._book.occurrences(name, before=before, limit=limit)

    async def edit(self, schedule: Schedule) -> ScheduleRecord:
        """Put another definition in the place of the one of that name, from its next fire time on.

        When this returns, nothing fires by the old one any more; an occurrence for many that had begun ends as it
        began. If the timing is another, a fire time of the old one that is due at this moment is kept as missed.
        Raises UnknownSchedule, InvalidSchedule, InvalidNotification, UnknownBot.
        """
        return await self._edit(schedule, Origin.API)

    async def _edit(self, schedule: Schedule, origin: Origin) -> ScheduleRecord:
        for _ in range(TRIES):
            record = await self._book.get(schedule.name)
            _check_origin(record, origin, "edit")
            now = await self._book.clock()
            wanted = checked_schedule(schedule, now, may_be_over=origin is Origin.FILE)
            missed = None
            cursor = record.cursor
            if (wanted.timing, wanted.local_time) != (record.schedule.timing, record.schedule.local_time):
                cursor = cursor_at(wanted, now)
                missed = _left_out(record, now, "its timing was changed when it was due")
            then = await self._following(wanted, cursor)
            paused = record.paused_at is not None
            changed = await self._book.change(
                record, schedule=wanted, paused=paused, then=then, missed=None if paused else missed
            )
            if changed is not None:
                return changed
        raise _too_busy(schedule.name)

    async def delete(self, name: str) -> None:
        """Forget a schedule and its occurrences. What it has enqueued stays enqueued, and what is open ends.

        Raises UnknownSchedule, and InvalidSchedule for one that comes from a file.
        """
        _check_origin(await self._book.get(name), Origin.API, "delete")
        await self._book.delete(name)

    # State.

    async def pause(self, name: str) -> ScheduleRecord:
        """Let it fire no more until it is resumed. Raises UnknownSchedule."""
        for _ in range(TRIES):
            record = await self._book.get(name)
            then = NextFire(record.cursor, record.next_fire_at, record.due_at)
            if record.paused_at is not None:
                return record
            paused = await self._book.change(record, schedule=record.schedule, paused=True, then=then)
            if paused is not None:
                return paused
        raise _too_busy(name)

    async def resume(self, name: str, *, missed: Missed = Missed.SKIP) -> ScheduleRecord:
        """Let it fire again. Fire times in the pause are kept as missed, or are its catch-up policy's to decide.

        Raises UnknownSchedule, and InvalidSchedule for a choice that is none.
        """
        missed = checked_choice(missed, Missed, "missed")
        for _ in range(TRIES):
            record = await self._book.get(name)
            if record.paused_at is None:
                return record
            cursor, span = record.cursor, None
            if missed is Missed.SKIP:
                now = await self._book.clock()
                cursor, span = cursor_at(record.schedule, now), _left_out(record, now, "it was paused")
            then = await self._following(record.schedule, cursor)
            resumed = await self._book.change(record, schedule=record.schedule, paused=False, then=then, missed=span)
            if resumed is not None:
                return resumed
        raise _too_busy(name)

    async def _following(self, schedule: Schedule, cursor: FireTime) -> NextFire:
        return following(schedule, cursor, *(await self._store.homes(schedule) if schedule.local_time else ()))

    # By hand.

    async def trigger(self, name: str) -> PlannedOccurrence:
        """Fire it now, out of turn, paused or not; its regular fire times stay. Raises UnknownSchedule."""
        for _ in range(TRIES):
            record = await self._book.get(name)
            now = await self._book.clock()
            planned = PlannedOccurrence(
                cursor_at(record.schedule, now), BY_HAND, expires_at=expiry(record.schedule, now)
            )
            fired = await self._store.fire([Firing(record, [planned], None)], wait=True)
            if fired.occurrences:
                return planned
        raise _too_busy(name)

    async def backfill(self, name: str, since: datetime, until: datetime) -> int:
        """Fire the fire times from `since` to `until`, both inclusive, that have not fired; answer how many did.

        Both are aware and `until` is not in the future. Notifications have their whole window from now on.
        Raises UnknownSchedule, and InvalidSchedule for a range that cannot be or holds more than 1000 fire times.
        """
        record = await self._book.get(name)
        now = await self._book.clock()
        _check_range(since, until, now)
        expires_at = expiry(record.schedule, now)
        planned = [
            PlannedOccurrence(fire, part, expires_at=expires_at, again=True)
            for part, times in (await self._parts(record.schedule)).items()
            for fire in _between(times, since, until)
        ]
        if len(planned) > MOST_BACKFILLED:
            raise InvalidSchedule(
                "backfill", f"there are more than {MOST_BACKFILLED} fire times from {since} to {until}: narrow it."
            )
        planned.sort(key=lambda each: (each.fire.at, each.part))
        fired = 0
        for start in range(0, len(planned), OCCURRENCES_AT_ONCE):
            firing = Firing(record, planned[start : start + OCCURRENCES_AT_ONCE], None)
            done = await self._store.fire([firing], wait=True)
            if not done.settled:
                raise InvalidSchedule(
                    "backfill", f'"{name}" was changed meanwhile, after {fired} had fired: look, and do it again.'
                )
            fired += len(done.occurrences)
        return fired

    async def _parts(self, schedule: Schedule) -> dict[str, FireTimes]:
        if not schedule.local_time:
            return {"": FireTimes(schedule.timing)}
        return fire_times_by_zone(schedule, *await self._store.homes(schedule))

    async def preview(self, schedule: str | Schedule, *, count: int = 5) -> Preview:
        """The next `count` fire times of a schedule, kept under that name or not yet, and what one of them costs.

        Raises UnknownSchedule, or whatever `add` would.
        """
        if type(count) is not int or not 1 <= count <= MOST_PREVIEWED:
            raise InvalidSchedule("count", f"{shown(count)}: give a number from 1 to {MOST_PREVIEWED}.")
        now = await self._book.clock()
        if isinstance(schedule, str):
            schedule = (await self._book.get(schedule)).schedule
        else:
            schedule = checked_schedule(schedule, now)
        found = [
            (fire, times) for times in (await self._parts(schedule)).values() for fire in _first(times, now, count)
        ]
        found.sort(key=lambda each: each[0].at)
        fires = [_previewed(schedule, fire, times) for fire, times in found[:count]]
        recipients = await self._book.audience(schedule)
        return Preview(fires=fires, recipients=recipients, seconds=await self._seconds(schedule, recipients))

    async def _seconds(self, schedule: Schedule, recipients: int) -> float | None:
        bot = next(bot for bot in await self._bots.bots() if bot.name == schedule.notification.bot)
        if bot.pace is None:
            return None
        return recipients * prepared(replace(schedule.notification, chat_id=1)).weight / bot.pace

    # Schedules as code.

    async def apply(self, schedules: Sequence[Schedule]) -> Applied:
        """Let the schedules that come from a file be these: add, change and remove until they are.

        Done twice it changes nothing, and several instances may do it at a time. What was made by hand is left alone;
        one of the same name is refused. Raises InvalidSchedule, InvalidNotification, UnknownBot, before any change
        where the file alone shows it.
        """
        now = await self._book.clock()
        wanted = {schedule.name: checked_schedule(schedule, now, may_be_over=True) for schedule in schedules}
        there = {record.schedule.name: record async for record in self._all()}
        for name in wanted:
            if name in there:
                _check_origin(there[name], Origin.FILE, "apply")
        added, changed, unchanged = [], [], []
        for name, schedule in wanted.items():
            record = there.get(name) or await self._added(schedule, now)
            if record is None:
                added.append(name)
            elif canonical(record.schedule) == canonical(schedule):
                unchanged.append(name)
            else:
                await self._edit(schedule, Origin.FILE)
                changed.append(name)
        removed = [name for name, record in there.items() if record.origin is Origin.FILE and name not in wanted]
        for name in removed:
            await self._remove(name)
        return Applied(added, changed, removed, unchanged)

    async def _added(self, schedule: Schedule, now: datetime) -> ScheduleRecord | None:
        """Add it, or answer the one that another instance has added meanwhile."""
        try:
            await self._book.add(schedule, Origin.FILE, await self._following(schedule, cursor_at(schedule, now)))
        except InvalidSchedule:
            return await self._book.get(schedule.name)
        return None

    async def _remove(self, name: str) -> None:
        try:
            await self._book.delete(name)
        except UnknownSchedule:
            return  # another instance was quicker

    async def _all(self) -> AsyncIterator[ScheduleRecord]:
        after: str | None = None
        while page := await self._book.page(after_name=after, limit=PAGE):
            for record in page:
                yield record
            after = page[-1].schedule.name


def _check_origin(record: ScheduleRecord, origin: Origin, verb: str) -> None:
    if record.origin is origin:
        return
    name = record.schedule.name
    if record.origin is Origin.FILE:
        raise InvalidSchedule(
            "name", f'"{name}" comes from the settings file: {verb} it there, and `dovecote schedule apply` it.'
        )
    raise InvalidSchedule(
        "name", f'a schedule named "{name}" was made by hand: delete it, or name the one in the file anew.'
    )


def _left_out(record: ScheduleRecord, now: datetime, reason: str) -> PlannedOccurrence | None:
    """The span of fire times that are due and will not fire; None where there are none."""
    first = record.next_fire_at
    if first is None or first > now:
        return None
    schedule = record.schedule
    times = FireTimes(schedule.timing)
    fire = FireTime(first, times.zone.wall(first.replace(tzinfo=None)))
    last = times.previous(now, later_than=record.cursor.at)
    until = last.at if last is not None and last.at > first else None
    return PlannedOccurrence(fire, happened=Happened.MISSED, reason=reason, until=until)


def _between(times: FireTimes, since: datetime, until: datetime) -> Iterator[FireTime]:
    """The fire times of a range; one more than a backfill may have, at most."""
    fire = times.next(since - timedelta(microseconds=1))
    for _ in range(MOST_BACKFILLED + 1):
        if fire is None or fire.at > until:
            return
        yield fire
        fire = times.next(fire)


def _first(times: FireTimes, since: datetime, count: int) -> Iterator[FireTime]:
    fire = times.next(since)
    for _ in range(count):
        if fire is None:
            return
        yield fire
        fire = times.next(fire)


def _previewed(schedule: Schedule, fire: FireTime, times: FireTimes) -> PreviewedFire:
    offset = times.zone.at(fire.at.replace(tzinfo=None)).offset
    return PreviewedFire(
        local=fire.at.astimezone(timezone(offset)),
        at=fire.at,
        due_at=fire.at + delay(schedule, fire),
        zone=times.zone.name,
    )


def _check_range(since: object, until: object, now: datetime) -> None:
    for bound, field in ((since, "since"), (until, "until")):
        if not isinstance(bound, datetime) or bound.tzinfo is None:
            raise InvalidSchedule(field, f"{shown(bound)} is no instant: give a datetime with a zone.")
        if bound.year < EARLIEST_YEAR:
            raise InvalidSchedule(field, f"{bound} is before {EARLIEST_YEAR}: name a range of this era.")
        if bound.astimezone(UTC) > now:
            raise InvalidSchedule(field, f"{bound} is in the future: only what has been can be filled in.")
    if isinstance(since, datetime) and isinstance(until, datetime) and until < since:
        raise InvalidSchedule("until", f"{until} is before since, {since}: change them round.")


def _too_busy(name: str) -> StoreUnavailable:
    return StoreUnavailable(f'the schedule "{name}" changes faster than it could be read: try again.')
