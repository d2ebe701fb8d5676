"""The lease as a row of the database, for who has no Redis: `ports.LeaseStore` on PostgreSQL and SQLite.

Its time is the store's: PostgreSQL's own, and on SQLite the machine's monotonic clock, which all its processes share,
since they share the file. So the time of day is no part of it. That clock begins anew when the machine does, and a
database's time may be set back: a lease that would last twice as long as it was taken for has been left by such an
event, and counts as free.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.clocks import monotonic_nanoseconds
from dovecote.stores.clock import StoreClock
from dovecote.stores.held import HeldConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.stores.database import Database

THE_LEASE = "leader"
NOBODY = ""


def _machine_microseconds() -> int:
    return monotonic_nanoseconds() // 1000


class RowLease:
    """`ports.LeaseStore` in the outbox's own database. `clock` answers microseconds; PostgreSQL has its own."""

    kind = "database"

    def __init__(
        self, database: Database, *, timeout: timedelta, clock: Callable[[], int] = _machine_microseconds
    ) -> None:
        self._held = HeldConnection(database, timeout)
        self._is_postgresql = database.is_postgresql
        self._lease = database.tables.leadership.lease
        self._clock = StoreClock(database, clock)

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.acquire`. A follower that asks in vain locks and writes nothing."""
        mine = (instance, token)
        if not await self._held.run(lambda connection: self._may_take(connection, self._row(connection), mine)):
            return False

        def take(connection: Connection) -> bool:
            # As two may find no row at the same moment, it is made before it is locked.
            nobodys = {"name": THE_LEASE, "instance": NOBODY, "token": 0, "until": self._now(connection), "lease": 0.0}
            insert = (postgresql if self._is_postgresql else sqlite).insert(self._lease)
            connection.execute(insert.values(nobodys).on_conflict_do_nothing())
            if not self._may_take(connection, self._row(connection, lock=True), mine):
                return False
            self._write(connection, instance=instance, token=token, lease=lease)
            return True

        return await self._held.run(take, write=True)

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.renew`."""

        def lengthen(connection: Connection) -> bool:
            row = self._row(connection, lock=True)
            if row is None or (row.instance, row.token) != (instance, token):
                return False
            self._write(connection, instance=instance, token=token, lease=lease)
            return True

        return await self._held.run(lengthen, write=True)

    async def release(self, instance: str, token: int) -> bool:
        """See `ports.LeaseStore.release`."""

        def free(connection: Connection) -> bool:
            row = self._row(connection, lock=True)
            if row is None or row.instance != instance or row.token > token:
                return False
            self._write(connection, instance=NOBODY, token=0, lease=timedelta())
            return True

        return await self._held.run(free, write=True)

    async def holder(self) -> str | None:
        """See `ports.LeaseStore.holder`."""

        def read(connection: Connection) -> str | None:
            row = self._row(connection)
            return None if row is None or self._is_free(connection, row) else str(row.instance)

        return await self._held.run(read)

    async def close(self) -> None:
        """See `ports.LeaseStore.close`."""
        await self._held.close()

    def _now(self, connection: Connection) -> datetime:
        return self._clock.now(connection)

    def _row(self, connection: Connection, *, lock: bool = False) -> Row[Any] | None:
        statement = select(self._lease).where(self._lease.c.name == THE_LEASE)
        return connection.execute(statement.with_for_update() if lock else statement).one_or_none()

    def _may_take(self, connection: Connection, row: Row[Any] | None, mine: tuple[str, int]) -> bool:
        instance, token = mine
        return row is None or (row.token < token if row.instance == instance else self._is_free(connection, row))

    def _is_free(self, connection: Connection, row: Row[Any]) -> bool:
        left = row.until - self._now(connection)
        return row.instance == NOBODY or not timedelta() < left <= 2 * timedelta(seconds=row.lease)

    def _write(self, connection: Connection, *, instance: str, token: int, lease: timedelta) -> None:
        # Asked for again: the lock may have been waited for.
        until = self._now(connection) + lease
        values = {"instance": instance, "token": token, "until": until, "lease": lease.total_seconds()}
        connection.execute(self._lease.update().where(self._lease.c.name == THE_LEASE).values(values))
