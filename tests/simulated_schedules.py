"""Schedulers in simulated time: a store in memory that fails as databases do, and leaders that come, go and overlap."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from timetables import every, schedule

from dovecote.errors import StoreUnavailable
from dovecote.firing import cursor_at, following
from dovecote.model import CatchUp, DueSchedules, FannedOut, Fired, Happened, Origin, ScheduleRecord
from dovecote.scheduler import Scheduler, SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from dovecote.model import Firing, Schedule
    from dovecote.scheduler import Plans

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


class SimulatedStore:
    """`ports.ScheduleStore` in memory, for all instances; `faults` is the share of requests that go wrong.

    What goes wrong is told as an outage: before it was written, after it was written, or after a while. The rules of
    the real stores are written here once more and shorter: version, cursor, primary key.
    """

    def __init__(self, random: Random, faults: float) -> None:
        self._random = random
        self._faults = faults
        self._began = asyncio.get_running_loop().time()
        self.records: dict[int, ScheduleRecord] = {}
        self.occurrences: dict[tuple[int, datetime], Happened] = {}
        self.notifications: Counter[tuple[int, datetime]] = Counter()
        self.latest = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=round(asyncio.get_running_loop().time() - self._began, 6))

    def add(self, made: Schedule) -> None:
        then = following(made, cursor_at(made, self.now()))
        id_ = len(self.records) + 1
        self.records[id_] = ScheduleRecord(
            id=id_,
            version=1,
            schedule=made,
            origin=Origin.API,
            cursor=then.cursor,
            next_fire_at=then.fire_at,
            due_at=then.due_at,
            paused_at=None,
            created_at=self.now(),
            changed_at=self.now(),
        )

    async def _request(self) -> bool:
        """Take a while, and answer whether the answer is to be lost. Raises StoreUnavailable before anything."""
        await asyncio.sleep(self._random.random() * 0.02)
        if self._random.random() < self._faults:
            await asyncio.sleep(self._random.choice([0, 0, 0.5, 3]))
            if self._random.random() < 0.5:
                raise StoreUnavailable("before it was written")
            return True
        return False

    async def due(self, *, limit: int, overdue_by: timedelta) -> DueSchedules:
        await self._request()
        now = self.now()
        due_at = {r.id: r.due_at for r in self.records.values() if r.due_at is not None}
        due = sorted((at, id_) for id_, at in due_at.items() if at <= now - overdue_by)[:limit]
        later = [(at + overdue_by - now).total_seconds() for at in due_at.values() if at > now - overdue_by]
        return DueSchedules(now, [self.records[id_] for _, id_ in due], min(later, default=None))

    async def homes(self, schedule: Schedule) -> tuple[Sequence[str], str | None]:
        return [], schedule.timing.zone

    async def fire(self, firings: Sequence[Firing], *, wait: bool = False) -> Fired:
        del wait
        lost = await self._request()
        written, settled = [], []
        now = self.now()
        for firing in firings:
            record = self.records[firing.record.id]
            if (record.version, record.cursor) != (firing.record.version, firing.record.cursor):
                continue
            settled.append(record.id)
            for planned in firing.occurrences:
                key = (record.id, planned.fire.at)
                if key not in self.occurrences:
                    self.occurrences[key] = planned.happened
                    written.append((record, planned))
                    if planned.happened is Happened.FIRED:
                        self.notifications[key] += 1
                        self.latest = max(self.latest, (now - planned.fire.at).total_seconds())
            then = firing.then
            assert then is not None
            self.records[record.id] = replace(record, cursor=then.cursor, next_fire_at=then.fire_at, due_at=then.due_at)
        if lost:
            raise StoreUnavailable("after it was written")
        return Fired(now, written, settled, len(written))

    def edit(self, id_: int) -> None:
        """Another version, as an edit that keeps the timing makes it."""
        self.records[id_] = replace(self.records[id_], version=self.records[id_].version + 1)

    async def fan_out(self, *, limit: int) -> FannedOut | None:
        del limit
        return None

    async def postpone(self, record: ScheduleRecord, by: timedelta) -> None:
        raise AssertionError(f"{record} was put off by {by}")

    async def close(self) -> None:
        """Nothing is open."""


class SimulatedLeadership:
    """`ports.Leadership` as the simulation wills it."""

    def __init__(self) -> None:
        self.term: int | None = None
        self._change = asyncio.Event()

    def lead(self, term: int | None) -> None:
        self.term = term
        self._change.set()
        self._change = asyncio.Event()

    async def changed(self) -> None:
        await self._change.wait()


class Counted:
    """`ports.ScheduleObserver` that forgets."""

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        """Nothing is counted."""


async def at_once(function: Callable[[], Plans]) -> Plans:
    """Where time is simulated, no thread."""
    return function()


async def simulate(random: Random) -> SimulatedStore:
    """Some 20 s of one to four instances with whatever befalls them; then all recover and the rest is done."""
    store = SimulatedStore(random, random.choice([0, 0.05, 0.3]))
    policies = {"catch_up": CatchUp.ALL, "catch_up_cap": 1000}
    for number in range(random.randint(1, 3)):
        store.add(schedule(f"s{number}", recurrence=every(random.choice([0.7, 1, 2.5, 4])), policies=policies))
    leaderships = [SimulatedLeadership() for _ in range(random.randint(1, 4))]
    settings = SchedulerSettings(sweep_interval=timedelta(seconds=2), overdue_by=timedelta(seconds=1))
    running: list[tuple[Scheduler, asyncio.Task[None]]] = []

    def start(leadership: SimulatedLeadership) -> tuple[Scheduler, asyncio.Task[None]]:
        made = Scheduler(store, leadership, settings, Counted(), random=random, apart=at_once)
        return made, asyncio.create_task(made.run())

    running += [start(leadership) for leadership in leaderships]
    for term in range(8):
        # Nobody leads, one does, or several believe that they do.
        for leadership in leaderships:
            leadership.lead(term if random.random() < 0.4 else None)
        await asyncio.sleep(random.random() * 4)
        place = random.randrange(len(running))
        match random.choice(["kill", "edit", "nothing"]):
            case "kill":
                # Wherever it is; another takes its place.
                running[place][1].cancel()
                await asyncio.gather(running[place][1], return_exceptions=True)
                running[place] = start(leaderships[place])
            case "edit":
                store.edit(random.choice(list(store.records)))
    store._faults = 0
    await asyncio.sleep(15)
    for scheduler, task in running:
        scheduler.stop()
        await task
    return store


def mistakes(store: SimulatedStore) -> list[str]:
    """What a fire time lacks or has too much, by arithmetic of this function's own."""
    found = []
    for record in store.records.values():
        seconds = record.schedule.timing.recurrence.interval.total_seconds()  # type: ignore[union-attr]
        due = int(((store.now() - START).total_seconds() - 5) / seconds)
        wanted = {START + timedelta(seconds=seconds) * number for number in range(1, due + 1)}
        fired = {at for (id_, at), count in store.notifications.items() if id_ == record.id}
        found += [f"{record.schedule.name} missed {at}" for at in sorted(wanted - fired)]
    found += [f"{key} fired {count} times" for key, count in store.notifications.items() if count != 1]
    return found
