"""The scheduler: what is due fires, whoever leads, and if need be while nobody does.

- The leader looks as soon as the next schedule is due, and every `look_interval` for those that were added meanwhile.
- Every instance looks every `sweep_interval` for what has been due for longer than `overdue_by`. So a leader that
  cannot be elected (Redis is away, the leader is frozen) costs seconds and nothing else.
- The store judges: what two instances do at a time, it does once. Nothing here is remembered but the waits.

The time of day of this machine is read nowhere: `now` is the store's, and waits are by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.firing import delay, plan
from dovecote.model import Happened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime

    from dovecote.model import Firing, ScheduleRecord
    from dovecote.ports import Leadership, ScheduleObserver, ScheduleStore

    Plans = tuple[list[Firing], list[tuple[ScheduleRecord, Exception]]]

logger = logging.getLogger(__name__)

AWAY = (StoreUnavailable, NotMigrated)
SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between tries while the database is away."""
BATCHES_BETWEEN_LOOKS = 4
"""How many batches of a fan-out go before it is looked again whether anything is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """How often is looked, and how much one transaction does.

    `batch_size` is how many schedules are read at a time, `transaction_size` how many notifications a transaction
    writes (one more occurrence at most), `postponed` how long a schedule that cannot be fired is left alone.
    """

    look_interval: timedelta = timedelta(seconds=1)
    sweep_interval: timedelta = timedelta(seconds=5)
    overdue_by: timedelta = timedelta(seconds=3)
    batch_size: int = 100
    transaction_size: int = 200
    postponed: timedelta = timedelta(minutes=1)


class Scheduler:
    """Fires schedules from `run` until `stop`. Run one in every instance.

    `apart` runs the planning where it does not hold up the event loop.
    """

    name = "scheduler"

    def __init__(
        self,
        store: ScheduleStore,
        leadership: Leadership,
        settings: SchedulerSettings,
        observer: ScheduleObserver,
        *,
        random: Random | None = None,
        apart: Callable[[Callable[[], Plans]], Awaitable[Plans]] = asyncio.to_thread,
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._settings = settings
        self._observer = observer
        self._apart = apart
        self._random = random or Random()  # noqa: S311 (it spreads out the sweeps)
        self._stopping = asyncio.Event()
        self._sweep_at = 0.0
        self._pause = 0.0

    def stop(self) -> None:
        """Begin to end: what is in a transaction is finished, `run` then returns."""
        self._stopping.set()

    async def run(self) -> None:
        """Fire what is due until `stop`. Outages of the database are borne."""
        now = asyncio.get_running_loop().time
        self._sweep_at = now() + self._spread(self._settings.sweep_interval)
        stopped = asyncio.create_task(self._stopping.wait())
        changed = asyncio.create_task(self._leadership.changed())
        try:
            while not self._stopping.is_set():
                if changed.done():
                    changed = asyncio.create_task(self._leadership.changed())
                # It listens before the term is read, so that no change is missed.
                await asyncio.sleep(0)
                wait = self._sweep_at - now()
                if self._leadership.term is not None:
                    wait = await self._look(timedelta(0), self._settings.look_interval)
                elif wait <= 0:
                    self._sweep_at = now() + self._spread(self._settings.sweep_interval)
                    wait = await self._look(self._settings.overdue_by, self._settings.sweep_interval)
                if wait > 0:
                    await asyncio.wait({stopped, changed}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, changed):
                task.cancel()
            await asyncio.gather(stopped, changed, return_exceptions=True)
            await self._store.close()

    async def _look(self, overdue_by: timedelta, interval: timedelta) -> float:
        """Fire what is due, and answer the seconds until the next look."""
        try:
            next_due_in = await self.fire_due(overdue_by)
        except AWAY as error:
            if not self._pause:
                logger.warning("%s; schedules wait until it is back", error)
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or SHORTEST_PAUSE)
            return self._pause
        if self._pause:
            logger.info("the database is back; what was due meanwhile fires now")
        self._pause = 0.0
        longest = interval.total_seconds()
        return longest if next_due_in is None else min(longest, next_due_in)

    async def fire_due(self, overdue_by: timedelta = timedelta(0)) -> float | None:
        """Fire all that has been due for so long, and answer the seconds until the next one, if there is one.

        Raises StoreUnavailable and NotMigrated.
        """
        while not self._stopping.is_set():
            due = await self._store.due(limit=self._settings.batch_size, overdue_by=overdue_by)
            moved = await self._fire(due.records, due.now) if due.records else 0
            if due.records and moved:
                continue
            if due.open_occurrences and await self._fan_out():
                continue
            # What is due and was not moved is in another's hands.
            return SHORTEST_PAUSE if due.records else due.next_due_in
        return 0.0

    async def _fire(self, records: Sequence[ScheduleRecord], now: datetime) -> int:
        """Fire these, and answer how many of them were found as they were read."""
        homes = {
            record.id: await self._store.homes(record.schedule) for record in records if record.schedule.local_time
        }

        def planned() -> Plans:
            firings, failed = [], []
            for record in records:
                try:
                    firings.append(_planned(record, now, *homes.get(record.id, ())))
                except Exception as error:  # noqa: BLE001 (one schedule must not hold up the others)
                    failed.append((record, error))
            return firings, failed

        # In a thread: a schedule may take milliseconds, and other loops of the process are not to wait for all of them.
        firings, failed = await self._apart(planned)
        for record, error in failed:
            await self._postpone(record, error)
        moved = len(failed)
        for group in self._in_transactions(firings):
            moved += await self._write(group)
        return moved

    def _in_transactions(self, firings: Sequence[Firing]) -> Iterator[list[Firing]]:
        group: list[Firing] = []
        size = 0
        for firing in firings:
            group.append(firing)
            size += sum(len(firing.record.schedule.to or ()) for _ in firing.occurrences)
            if size >= self._settings.transaction_size:
                yield group
                group, size = [], 0
        if group:
            yield group

    async def _write(self, group: Sequence[Firing]) -> int:
        try:
            fired = await self._store.fire(group)
        except AWAY:
            raise
        except Exception as error:
            if len(group) > 1:
                logger.exception("schedules could not be fired together; each is fired alone")
                return sum([await self._write([firing]) for firing in group])
            await self._postpone(group[0].record, error)
            return 1
        late = [
            (fired.now - each.fire.at - delay(record.schedule, each.fire)).total_seconds()
            for record, each in fired.occurrences
            if each.happened is Happened.FIRED
        ]
        self._observer.occurrences_written(fired, late)
        return len(fired.settled)

    async def _postpone(self, record: ScheduleRecord, error: Exception) -> None:
        logger.error(
            "the schedule %s cannot be fired and is tried again in %s",
            record.schedule.name,
            self._settings.postponed,
            exc_info=error,
        )
        await self._store.postpone(record, self._settings.postponed)

    async def _fan_out(self) -> bool:
        """Go on with what is open; False when there was nothing to do."""
        for batch in range(BATCHES_BETWEEN_LOOKS):
            if self._stopping.is_set():
                return True
            if await self._store.fan_out(limit=self._settings.transaction_size) is None:
                return batch > 0
        return True

    def _spread(self, interval: timedelta) -> float:
        """Somewhat less than `interval`, in seconds: instances are not to sweep together."""
        return interval.total_seconds() * (1 - self._random.random() / 4)


def _planned(record: ScheduleRecord, now: datetime, zones: Sequence[str] = (), bot_zone: str | None = None) -> Firing:
    firing = plan(record, now, zones, bot_zone)
    due_at = None if firing.then is None else firing.then.due_at
    if not firing.occurrences and due_at is not None and due_at <= now:
        raise RuntimeError(f"it stays due at {due_at} and nothing of it fires")
    return firing
