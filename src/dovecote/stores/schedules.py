"""The book of schedules: what whoever makes them asks for and changes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.errors import InvalidSchedule, UnknownSchedule
from dovecote.stores.bots import bot_id_of
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.enqueue import LARGEST_UPLOAD
from dovecote.stores.homes import count_of
from dovecote.stores.schedule_files import check_sendable, files_of, need, need_no_more
from dovecote.stores.schedule_rows import definition, occurrence_of, record_of, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from dovecote.model import NextFire, Occurrence, Origin, PlannedOccurrence, Schedule, ScheduleRecord
    from dovecote.stores.database import Database, Run

FORGOTTEN_AT_ONCE = 1000


class SchedulesBook:
    """`ports.ScheduleBook` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own.

    `largest_upload` is as of `Enqueuer`. With `run` everything happens in the transactions that it runs functions in.
    """

    def __init__(
        self,
        database: Database,
        *,
        largest_upload: int = LARGEST_UPLOAD,
        clock: Callable[[], int] = real_microseconds,
        run: Run | None = None,
    ) -> None:
        self._largest_upload = largest_upload
        self._run = run or database.run
        self._is_postgresql = database.is_postgresql
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def clock(self) -> datetime:
        """See `ports.ScheduleBook.clock`."""
        return await self._run(self._clock.now)

    async def add(self, schedule: Schedule, origin: Origin, then: NextFire) -> ScheduleRecord:
        """See `ports.ScheduleBook.add`."""
        table = self._tables.schedule

        def insert(connection: Connection) -> ScheduleRecord:
            now = self._clock.now(connection)
            bot_id = bot_id_of(connection, self._tables, schedule.notification.bot)
            self._check_files(connection, schedule)
            values = {
                "name": schedule.name,
                "origin": origin.value,
                "created_at": now,
                "changed_at": now,
                **definition(schedule, bot_id),
                **standing(then),
            }
            # Not found out by an error, which would end the application's transaction on PostgreSQL.
            dialect = postgresql if self._is_postgresql else sqlite
            statement = dialect.insert(table).values(**values).on_conflict_do_nothing(index_elements=["name"])
            row = connection.execute(statement.returning(*table.c)).first()
            if row is None:
                raise InvalidSchedule(
                    "name",
                    f'there is a schedule named "{schedule.name}" already: choose another name, or change that one with'
                    " `dovecote schedule edit`.",
                )
            need(connection, self._tables, row.id, row.version, files_of(schedule.notification))
            return record_of(row)

        return await self._run(insert, write=True)

    def _check_files(self, connection: Connection, schedule: Schedule) -> None:
        check_sendable(connection, self._tables, schedule.notification, largest_upload=self._largest_upload)

    async def get(self, name: str) -> ScheduleRecord:
        """See `ports.ScheduleBook.get`."""
        return await self._run(lambda connection: self._get(connection, name))

    def _get(self, connection: Connection, name: str) -> ScheduleRecord:
        table = self._tables.schedule
        row = connection.execute(select(table).where(table.c.name == name)).first()
        if row is None:
            raise UnknownSchedule(name)
        return record_of(row)

    async def page(self, *, after_name: str | None = None, limit: int = 50) -> Sequence[ScheduleRecord]:
        """See `ports.ScheduleBook.page`."""
        table = self._tables.schedule
        statement = select(table).order_by(table.c.name).limit(limit)
        if after_name is not None:
            statement = statement.where(table.c.name > after_name)
        return await self._run(lambda connection: list(map(record_of, connection.execute(statement))))

    async def change(
        self,
        record: ScheduleRecord,
        *,
        schedule: Schedule,
        paused: bool,
        then: NextFire,
        missed: PlannedOccurrence | None = None,
    ) -> ScheduleRecord | None:
        """See `ports.ScheduleBook.change`."""
        table = self._tables.schedule

        def update(connection: Connection) -> ScheduleRecord | None:
            now = self._clock.now(connection)
            bot_id = bot_id_of(connection, self._tables, schedule.notification.bot)
            if schedule.notification != record.schedule.notification:
                self._check_files(connection, schedule)
            as_read = and_(
                table.c.id == record.id,
                table.c.version == record.version,
                table.c.cursor_at == record.cursor.at,
            )
            values: dict[str, Any] = {
                "version": record.version + 1,
                "changed_at": now,
                "paused_at": (record.paused_at or now) if paused else None,
                **definition(schedule, bot_id),
                **standing(then, paused=paused),
            }
            row = connection.execute(table.update().where(as_read).values(**values).returning(*table.c)).first()
            if row is None:
                return None
            need(connection, self._tables, row.id, row.version, files_of(schedule.notification))
            need_no_more(connection, self._tables, row.id, now, newest=row.version)
            if missed is not None:
                self._keep(connection, record, missed, now)
            return record_of(row)

        return await self._run(update, write=True)

    def _keep(self, connection: Connection, record: ScheduleRecord, missed: PlannedOccurrence, now: datetime) -> None:
        """Keep a missed span, unless its first fire time has an occurrence."""
        table = self._tables.occurrence.c
        there = select(table.part).where(
            table.schedule_id == record.id, table.fire_at == missed.fire.at, table.part == missed.part
        )
        if connection.execute(there).first() is None:
            values = {
                "schedule_id": record.id,
                "fire_at": missed.fire.at,
                "part": missed.part,
                "wall": missed.fire.wall.isoformat(),
                "happened": missed.happened.value,
                "reason": missed.reason,
                "until": missed.until,
                "fired_at": now,
                "version": record.version,
                "notifications": 0,
            }
            connection.execute(self._tables.occurrence.insert().values(**values))

    async def delete(self, name: str) -> None:
        """See `ports.ScheduleBook.delete`."""
        schedule, occurrence = self._tables.schedule, self._tables.occurrence

        def forget(connection: Connection) -> int:
            deleted = connection.execute(schedule.delete().where(schedule.c.name == name).returning(schedule.c.id))
            found: int | None = deleted.scalar()
            if found is None:
                raise UnknownSchedule(name)
            # Those that are open end with their schedule; the others go in bounded batches.
            is_open = and_(occurrence.c.schedule_id == found, occurrence.c.turn_at.is_not(None))
            connection.execute(occurrence.delete().where(is_open))
            need_no_more(connection, self._tables, found, self._clock.now(connection), newest=None)
            return found

        schedule_id = await self._run(forget, write=True)
        while await self._run(partial(self._forget_occurrences, schedule_id), write=True):
            continue

    def _forget_occurrences(self, schedule_id: int, connection: Connection) -> bool:
        table = self._tables.occurrence
        some = select(table.c.fire_at).where(table.c.schedule_id == schedule_id).order_by(table.c.fire_at)
        last = connection.execute(some.limit(FORGOTTEN_AT_ONCE)).scalars().all()
        if last:
            upto = and_(table.c.schedule_id == schedule_id, table.c.fire_at <= last[-1])
            connection.execute(table.delete().where(upto))
        return len(last) == FORGOTTEN_AT_ONCE

    async def occurrences(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Sequence[Occurrence]:
        """See `ports.ScheduleBook.occurrences`."""
        table = self._tables.occurrence

        def read(connection: Connection) -> list[Occurrence]:
            record = self._get(connection, name)
            statement = select(table).where(table.c.schedule_id == record.id)
            if before is not None:
                statement = statement.where(table.c.fire_at < before)
            statement = statement.order_by(table.c.fire_at.desc(), table.c.part.desc()).limit(limit)
            return list(map(occurrence_of, connection.execute(statement)))

        return await self._run(read)

    async def audience(self, schedule: Schedule) -> int:
        """See `ports.ScheduleBook.audience`."""
        if schedule.to is not None:
            return len(schedule.to)
        bot = schedule.notification.bot
        return await self._run(lambda connection: count_of(connection, self._tables, bot))
