"""The lease as a row of the database, for who has no Redis: `ports.LeaseStore` on PostgreSQL and SQLite.

Its time is the store's: PostgreSQL's own, and on SQLite the machine's monotonic clock, which all its processes share,
since they share the file. So the time of day is no part of it. That clock begins anew when the machine does, and a
database's time may be set back: a lease that would last twice as long as it was taken for has been left by such an
event, and counts as free.

On SQLite a holder has a lock of the operating system's on a file beside the database as well, and says so in the row.
Whoever gets that lock while the row still names another knows that the other's process is gone, and need not wait for
the lease: a bot that was killed leads again as soon as it is started. A holder that did not get the lock, since a
frozen one has it still, says that too, and is waited for. The lock only ever shortens the wait for the dead: a holder
that lives is never taken for one, so long as nobody removes the file under it.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.clocks import monotonic_nanoseconds
from dovecote.model import DELIVERIES
from dovecote.stores.clock import StoreClock
from dovecote.stores.file_lock import FileLock
from dovecote.stores.held import HeldConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.stores.database import Database

NOBODY = ""


def _machine_microseconds() -> int:
    return monotonic_nanoseconds() // 1000


class RowLease:
    """`ports.LeaseStore` in the outbox's own database. `clock` answers microseconds; PostgreSQL has its own."""

    kind = "database"

    def __init__(
        self,
        database: Database,
        *,
        timeout: timedelta,
        clock: Callable[[], int] = _machine_microseconds,
        election: str = DELIVERIES,
    ) -> None:
        self._election = election
        self._held = HeldConnection(database, timeout)
        self._file = (
            None if database.is_postgresql else FileLock(f"{os.path.realpath(str(database.url.database))}-{election}")
        )
        self._is_postgresql = database.is_postgresql
        self._lease = database.tables.leadership.lease
        self._clock = StoreClock(database, clock)

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.acquire`. A follower that asks in vain locks and writes nothing."""
        taken = False
        try:
            taken = await self._acquire(instance, token, lease, locked=self._lock_file())
        finally:
            if not taken:
                self._unlock_file()
        return taken

    async def _acquire(self, instance: str, token: int, lease: timedelta, *, locked: bool) -> bool:
        def may_take(connection: Connection, row: Row[Any] | None) -> bool:
            if row is None:
                return True
            if row.instance == instance:
                return bool(row.token < token)
            return self._is_free(connection, row) or (locked and row.locked)

        if not await self._held.run(lambda connection: may_take(connection, self._row(connection))):
            return False

        def take(connection: Connection) -> bool:
            # As two may find no row at the same moment, it is made before it is locked.
            nobodys = {
                "name": self._election,
                "instance": NOBODY,
                "token": 0,
                "until": self._now(connection),
                "lease": 0.0,
            }
            insert = (postgresql if self._is_postgresql else sqlite).insert(self._lease)
            connection.execute(insert.values(nobodys).on_conflict_do_nothing())
            if not may_take(connection, self._row(connection, lock=True)):
                return False
            self._write(connection, instance=instance, token=token, lease=lease, locked=locked)
            return True

        return await self._held.run(take, write=True)

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.renew`."""
        locked = self._lock_file()

        def lengthen(connection: Connection) -> bool:
            row = self._row(connection, lock=True)
            if row is None or (row.instance, row.token) != (instance, token):
                return False
            self._write(connection, instance=instance, token=token, lease=lease, locked=locked)
            return True

        renewed = await self._held.run(lengthen, write=True)
        if not renewed:
            self._unlock_file()
        return renewed

    async def release(self, instance: str, token: int) -> bool:
        """See `ports.LeaseStore.release`."""

        def free(connection: Connection) -> bool:
            row = self._row(connection, lock=True)
            if row is None or row.instance != instance or row.token > token:
                return False
            self._write(connection, instance=NOBODY, token=0, lease=timedelta(), locked=False)
            return True

        try:
            return await self._held.run(free, write=True)
        finally:
            # Whoever releases leads no longer, whether or not the row could be told.
            self._unlock_file()

    async def holder(self) -> str | None:
        """See `ports.LeaseStore.holder`."""

        def read(connection: Connection) -> str | None:
            row = self._row(connection)
            return None if row is None or self._is_free(connection, row) else str(row.instance)

        return await self._held.run(read)

    async def close(self) -> None:
        """See `ports.LeaseStore.close`."""
        self._unlock_file()
        await self._held.close()

    def _lock_file(self) -> bool:
        return self._file is not None and self._file.take()

    def _unlock_file(self) -> None:
        if self._file is not None:
            self._file.drop()

    def _now(self, connection: Connection) -> datetime:
        return self._clock.now(connection)

    def _row(self, connection: Connection, *, lock: bool = False) -> Row[Any] | None:
        statement = select(self._lease).where(self._lease.c.name == self._election)
        return connection.execute(statement.with_for_update() if lock else statement).one_or_none()

    def _is_free(self, connection: Connection, row: Row[Any]) -> bool:
        left = row.until - self._now(connection)
        return row.instance == NOBODY or not timedelta() < left <= 2 * timedelta(seconds=row.lease)

    def _write(self, connection: Connection, *, instance: str, token: int, lease: timedelta, locked: bool) -> None:
        # Asked for again: the lock may have been waited for.
        until = self._now(connection) + lease
        values = {
            "instance": instance,
            "token": token,
            "until": until,
            "lease": lease.total_seconds(),
            "locked": locked,
        }
        connection.execute(self._lease.update().where(self._lease.c.name == self._election).values(values))
