"""Firing, as the database does it: occurrences, their notifications and the schedules' next fire times in one commit.

How it stays correct whoever leads, and however many believe that they do:

- a schedule's row is locked first, in the order of ids, and looked at again: with another version, another cursor or a
  pause since, nothing of the firing is written. Whoever meets a locked row leaves it: its firing is being done;
- an occurrence is inserted by its primary key, and only what was inserted makes notifications;
- what is cut off anywhere is rolled back as a whole, and found due again by whoever looks next.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Text, and_, bindparam, cast, exists, func, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.model import BY_HAND, DueSchedules, Fired, Happened, Overlap, PlannedOccurrence
from dovecote.schedule_form import notification_to
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.enqueue import LARGEST_UPLOAD, Enqueuer, untraced
from dovecote.stores.fan_out import FanOut
from dovecote.stores.held import HeldConnection
from dovecote.stores.homes import homes_of
from dovecote.stores.schedule_rows import record_of, sends, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from dovecote.model import FannedOut, Firing, Notification, Schedule, ScheduleRecord
    from dovecote.ports import EnqueueSpan
    from dovecote.stores.database import Database, Run

T = TypeVar("T")

INLINE = 500
"""An occurrence for more recipients than this is left open for the fan-out."""
PATIENCE = timedelta(seconds=5)
LONGEST_TRANSACTION = timedelta(seconds=30)
# A recipient who moves is told apart by the key, and zones lie up to 26 hours apart.
SHORTEST_KEY_WINDOW = timedelta(days=3)


class FiringStore:
    """`ports.ScheduleStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own.

    A key is remembered for `key_window`, and for three days at least; `largest_upload` is as of `Enqueuer`. PostgreSQL
    ends a transaction whose process is frozen after `patience`, so that what it has locked fires elsewhere; SQLite has
    no such bound. With `hold` one connection stays open, for a loop that asks every second and runs in one event loop.
    With `run` everything happens in the transactions that it runs functions in, and their patience is their own.
    """

    def __init__(
        self,
        database: Database,
        *,
        key_window: timedelta = timedelta(days=30),
        largest_upload: int = LARGEST_UPLOAD,
        patience: timedelta = PATIENCE,
        hold: bool = True,
        run: Run | None = None,
        clock: Callable[[], int] = real_microseconds,
        span: EnqueueSpan = untraced,
    ) -> None:
        self._held = HeldConnection(database, LONGEST_TRANSACTION) if hold and run is None else None
        self._run: Run = run or (database.run if self._held is None else self._held.run)
        self._is_postgresql = database.is_postgresql
        self._patience = patience if run is None else None
        self._tables = database.tables
        self._clock = StoreClock(database, clock)
        self._enqueuer = Enqueuer(
            database,
            key_window=max(key_window, SHORTEST_KEY_WINDOW),
            largest_upload=largest_upload,
            clock=clock,
            span=span,
        )
        self._fan_out = FanOut(self._tables, self._clock, self._enqueuer)

    async def due(self, *, limit: int, overdue_by: timedelta) -> DueSchedules:
        """See `ports.ScheduleStore.due`."""
        table, open_ = self._tables.schedule, self._tables.occurrence.c.turn_at

        def read(connection: Connection) -> DueSchedules:
            now = self._clock.now(connection)
            due = select(table).where(table.c.due_at <= now - overdue_by).order_by(table.c.due_at).limit(limit)
            records = [record_of(row) for row in connection.execute(due)]
            next_due_at = connection.execute(
                select(func.min(table.c.due_at)).where(table.c.due_at > now - overdue_by)
            ).scalar()
            is_open = connection.execute(
                select(exists(select(open_).where(open_.is_not(None), open_ <= now - overdue_by)))
            ).scalar_one()
            wait = None if next_due_at is None else max(0.0, (next_due_at + overdue_by - now).total_seconds())
            return DueSchedules(now, records, wait, bool(is_open))

        return await self._run(read)

    async def homes(self, schedule: Schedule) -> tuple[Sequence[str], str | None]:
        """See `ports.ScheduleStore.homes`."""
        return await self._run(
            lambda connection: homes_of(
                connection, self._tables, schedule.notification.bot, schedule.to, self._clock.now(connection)
            )
        )

    async def fan_out(self, *, limit: int) -> FannedOut | None:
        """See `ports.ScheduleStore.fan_out`."""
        return await self._write(lambda connection: self._fan_out.turn(connection, limit))

    async def postpone(self, record: ScheduleRecord, by: timedelta) -> None:
        """See `ports.ScheduleStore.postpone`."""
        table = self._tables.schedule

        def write(connection: Connection) -> None:
            due_at = self._clock.now(connection) + by
            same = and_(table.c.id == record.id, table.c.version == record.version, table.c.due_at.is_not(None))
            connection.execute(table.update().where(same).values(due_at=due_at))

        await self._run(write, write=True)

    async def fire(self, firings: Sequence[Firing], *, wait: bool = False) -> Fired:
        """See `ports.ScheduleStore.fire`."""
        return await self._write(lambda connection: self._fire(connection, firings, wait=wait))

    async def _write(self, function: Callable[[Connection], T]) -> T:
        def write(connection: Connection) -> T:
            if self._is_postgresql and self._patience is not None:
                limit = f"{self._patience // timedelta(milliseconds=1)}ms"
                connection.execute(
                    select(func.set_config("idle_in_transaction_session_timeout", limit, literal(value=True)))
                )
            return function(connection)

        return await self._run(write, write=True)

    async def close(self) -> None:
        """Give back the connection."""
        if self._held is not None:
            await self._held.close()

    def _fire(self, connection: Connection, firings: Sequence[Firing], *, wait: bool) -> Fired:
        held = self._hold(connection, firings, wait=wait)
        now = self._clock.now(connection)
        kept = [firing for firing in firings if _is_as_read(firing, held.get(firing.record.id))]
        busy = self._busy(connection, [firing.record.id for firing in kept if _may_overlap(firing)])
        planned = [(firing.record, each) for firing in kept for each in _without_overlap(firing, busy)]
        written = self._insert(connection, planned, now)
        notifications = [each for record, one in written for each in _notifications(record, one)]
        ids = self._enqueuer.write(connection, notifications)
        self._note_ids(connection, written, ids)
        self._move(connection, kept, written)
        return Fired(now, written, [firing.record.id for firing in kept], len(ids))

    def _hold(self, connection: Connection, firings: Sequence[Firing], *, wait: bool) -> dict[int, Any]:
        """Lock the schedules that nobody else has locked, in the order of their ids."""
        table = self._tables.schedule.c
        statement = (
            select(table.id, table.version, table.cursor_at, table.paused_at)
            .where(table.id.in_(sorted({firing.record.id for firing in firings})))
            .order_by(table.id)
            .with_for_update(skip_locked=not wait)
        )
        return {row.id: row for row in connection.execute(statement).all()}

    def _busy(self, connection: Connection, ids: Sequence[int]) -> set[int]:
        """Those whose last occurrence is open, or has notifications in the outbox."""
        if not ids:
            return set()
        schedule, occurrence = self._tables.schedule.c, self._tables.occurrence.c
        notification = self._tables.notification.c
        prefix = literal("schedule:") + cast(schedule.id, Text) + literal(":")
        # The ids of an occurrence lie close together; what else lies between is told apart by the key.
        unsent = exists(
            select(notification.id).where(
                notification.id.between(occurrence.first_id, occurrence.last_id),
                func.substr(notification.key, 1, func.length(prefix)) == prefix,
            )
        )
        last = and_(occurrence.schedule_id == schedule.id, occurrence.fire_at == schedule.last_fired_at)
        unfinished = exists(select(occurrence.part).where(last, or_(occurrence.turn_at.is_not(None), unsent)))
        return set(connection.execute(select(schedule.id).where(schedule.id.in_(ids), unfinished)).scalars())

    def _insert(
        self, connection: Connection, planned: Sequence[tuple[ScheduleRecord, PlannedOccurrence]], now: datetime
    ) -> list[tuple[ScheduleRecord, PlannedOccurrence]]:
        """Insert the occurrences, and answer those that were not there."""
        table = self._tables.occurrence
        dialect = postgresql if self._is_postgresql else sqlite
        inserted: set[tuple[int, datetime, str]] = set()
        for again in (False, True):
            rows = [_row(record, each, now) for record, each in planned if each.again is again]
            if not rows:
                continue
            statement: Any = dialect.insert(table)
            if again:
                same = {name: statement.excluded[name] for name in rows[0] if name not in table.primary_key.columns}
                left_out = table.c.happened != Happened.FIRED.value
                statement = statement.on_conflict_do_update(
                    index_elements=list(table.primary_key.columns), set_=same, where=left_out
                )
            else:
                statement = statement.on_conflict_do_nothing()
            answer = connection.execute(statement.returning(*table.primary_key.columns), rows)
            inserted.update((row.schedule_id, row.fire_at, row.part) for row in answer)
        return [(record, each) for record, each in planned if (record.id, each.fire.at, each.part) in inserted]

    def _note_ids(
        self,
        connection: Connection,
        written: Sequence[tuple[ScheduleRecord, PlannedOccurrence]],
        ids: Sequence[int],
    ) -> None:
        """Note which notifications are an occurrence's, where its schedule will ask."""
        table = self._tables.occurrence
        rows, place = [], 0
        for record, each in written:
            count = _inline_count(record, each)
            own = ids[place : place + count]
            place += count
            if own and record.schedule.policies.overlap is Overlap.SKIP:
                key = {"of": record.id, "at": each.fire.at, "as_part": each.part}
                rows.append({**key, "first": min(own), "last": max(own)})
        if rows:
            same = and_(
                table.c.schedule_id == bindparam("of"),
                table.c.fire_at == bindparam("at"),
                table.c.part == bindparam("as_part"),
            )
            values: dict[str, Any] = {"first_id": bindparam("first"), "last_id": bindparam("last")}
            connection.execute(table.update().where(same).values(values), rows)

    def _move(
        self,
        connection: Connection,
        firings: Sequence[Firing],
        written: Sequence[tuple[ScheduleRecord, PlannedOccurrence]],
    ) -> None:
        """Write where the schedules stand now."""
        table = self._tables.schedule
        fired: dict[int, datetime] = {}
        for record, each in written:
            if each.happened is Happened.FIRED:
                fired[record.id] = max(each.fire.at, fired.get(record.id, each.fire.at))
        rows = [
            {**standing(firing.then), "of": firing.record.id, "last": fired.get(firing.record.id)}
            for firing in firings
            if firing.then is not None
        ]
        if not rows:
            return
        last = func.coalesce(bindparam("last", type_=table.c.last_fired_at.type), table.c.last_fired_at)
        columns = ("cursor_at", "cursor_wall", "next_fire_at", "due_at")
        values: dict[str, Any] = {name: bindparam(name, type_=table.c[name].type) for name in columns}
        connection.execute(
            table.update().where(table.c.id == bindparam("of")).values(**values, last_fired_at=last), rows
        )


def _is_as_read(firing: Firing, found: Any) -> bool:
    if found is None or found.version != firing.record.version:
        return False
    return firing.then is None or (found.paused_at is None and found.cursor_at == firing.record.cursor.at)


def _may_overlap(firing: Firing) -> bool:
    return firing.then is not None and firing.record.schedule.policies.overlap is Overlap.SKIP


def _without_overlap(firing: Firing, busy: set[int]) -> Iterator[PlannedOccurrence]:
    """The occurrences, with those as skipped that meet one that is not finished."""
    is_busy = firing.record.id in busy
    for planned in firing.occurrences:
        if planned.happened is Happened.FIRED and is_busy and _may_overlap(firing):
            yield replace(planned, happened=Happened.SKIPPED, reason="the occurrence before was not finished")
            continue
        yield planned
        is_busy = is_busy or planned.happened is Happened.FIRED


def _is_for_one_zone(record: ScheduleRecord, planned: PlannedOccurrence) -> bool:
    return record.schedule.local_time and planned.part != BY_HAND


def _inline_count(record: ScheduleRecord, planned: PlannedOccurrence) -> int:
    """How many notifications are written with the occurrence; 0 where the fan-out makes them."""
    to = record.schedule.to
    if planned.happened is not Happened.FIRED or to is None or _is_for_one_zone(record, planned) or len(to) > INLINE:
        return 0
    return len(to)


def _notifications(record: ScheduleRecord, planned: PlannedOccurrence) -> list[Notification]:
    schedule = record.schedule
    if not _inline_count(record, planned):
        return []
    return [
        notification_to(schedule.notification, record.id, planned, str(chat), local_time=False)
        for chat in schedule.to or ()
    ]


def _row(record: ScheduleRecord, planned: PlannedOccurrence, now: datetime) -> dict[str, Any]:
    count = _inline_count(record, planned)
    is_open = planned.happened is Happened.FIRED and not count
    return {
        "schedule_id": record.id,
        "fire_at": planned.fire.at,
        "part": planned.part,
        "wall": planned.fire.wall.isoformat(),
        "happened": planned.happened.value,
        "reason": planned.reason,
        "until": planned.until,
        "fired_at": now,
        "version": record.version,
        "notifications": count,
        "first_id": None,
        "last_id": None,
        "expires_at": planned.expires_at,
        "cursor": "" if is_open else None,
        "sends": sends(record.schedule, local_time=_is_for_one_zone(record, planned)) if is_open else None,
        "turn_at": now if is_open else None,
    }
