"""The terms and the instances: `ports.TermStore` on either database.

Each election has terms of its own. A term is one more than the newest of all, under a lock that lets readers pass; the
newest is never pruned, so numbers only grow. What is old goes when something is added, so many rows at a time: neither
table grows with time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.model import DELIVERIES, Instance, InstanceRecord, Term
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.held import HeldConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

    from dovecote.stores.database import Database

FORGOTTEN_AFTER = timedelta(days=1)
"""When an instance that did not end in order and was not heard of since is removed."""
TERMS_KEPT = 1000
REMOVED_AT_ONCE = 100

# Two that begin at once wait for each other. Reading the newest is not held up.
ONE_AT_A_TIME = text("LOCK TABLE dovecote.leadership_term IN EXCLUSIVE MODE")


class Terms:
    """`ports.TermStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(
        self,
        database: Database,
        *,
        timeout: timedelta,
        clock: Callable[[], int] = real_microseconds,
        election: str = DELIVERIES,
    ) -> None:
        self._election = election
        self._held = HeldConnection(database, timeout)
        self._is_postgresql = database.is_postgresql
        self._term = database.tables.leadership.term
        self._instance = database.tables.leadership.instance
        self._clock = StoreClock(database, clock)

    async def beat(self, instance: Instance) -> int:
        """See `ports.TermStore.beat`. The first of an instance forgets others that are long gone."""
        known = self._instance

        def write(connection: Connection) -> int:
            now = self._clock.now(connection)
            here = known.c.id == instance.id
            if not connection.execute(known.update().where(here).values(seen_at=now)).rowcount:
                self._forget(connection, now)
                insert = (postgresql if self._is_postgresql else sqlite).insert(known)
                values = {
                    "id": instance.id,
                    "host": instance.host,
                    "pid": instance.pid,
                    "version": instance.version,
                    "role": instance.role,
                    "started_at": now,
                    "seen_at": now,
                }
                connection.execute(insert.values(values).on_conflict_do_nothing())
            return self._newest(connection, self._term.c.election == self._election)

        return await self._held.run(write, write=True)

    async def leave(self, instance: str) -> None:
        """See `ports.TermStore.leave`."""
        statement = self._instance.delete().where(self._instance.c.id == instance)
        await self._held.run(lambda connection: connection.execute(statement), write=True)

    async def begin(self, instance: str) -> int:
        """See `ports.TermStore.begin`."""
        term = self._term

        def write(connection: Connection) -> int:
            if self._is_postgresql:
                connection.execute(ONE_AT_A_TIME)
            number = self._newest(connection) + 1
            values = {
                "number": number,
                "instance": instance,
                "begun_at": self._clock.now(connection),
                "election": self._election,
            }
            connection.execute(term.insert().values(values))
            here = term.c.election == self._election
            old = select(term.c.number).where(term.c.number <= number - TERMS_KEPT, here).order_by(term.c.number)
            connection.execute(term.delete().where(term.c.number.in_(old.limit(REMOVED_AT_ONCE))))
            return number

        return await self._held.run(write, write=True)

    async def end(self, number: int) -> None:
        """See `ports.TermStore.end`."""

        def write(connection: Connection) -> None:
            values = {"ended_at": self._clock.now(connection)}
            connection.execute(self._term.update().where(self._term.c.number == number).values(values))

        await self._held.run(write, write=True)

    async def newest(self) -> Term | None:
        """See `ports.TermStore.newest`."""
        here = self._term.c.election == self._election
        statement = select(self._term).where(here).order_by(self._term.c.number.desc()).limit(1)
        row = await self._held.run(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else Term(row.number, row.instance, row.begun_at, row.ended_at)

    async def instances(self) -> tuple[datetime, Sequence[InstanceRecord]]:
        """See `ports.TermStore.instances`."""
        statement = select(self._instance)

        def read(connection: Connection) -> tuple[datetime, list[InstanceRecord]]:
            return self._clock.now(connection), [_record(row) for row in connection.execute(statement)]

        return await self._held.run(read)

    async def close(self) -> None:
        """See `ports.TermStore.close`."""
        await self._held.close()

    def _newest(self, connection: Connection, *where: ColumnElement[bool]) -> int:
        number: int | None = connection.execute(select(func.max(self._term.c.number)).where(*where)).scalar()
        return number or 0

    def _forget(self, connection: Connection, now: datetime) -> None:
        known = self._instance.c
        gone = select(known.id).where(known.seen_at < now - FORGOTTEN_AFTER).order_by(known.seen_at)
        connection.execute(self._instance.delete().where(known.id.in_(gone.limit(REMOVED_AT_ONCE))))


def _record(row: Row[Any]) -> InstanceRecord:
    instance = Instance(id=row.id, host=row.host, pid=row.pid, version=row.version, role=row.role)
    return InstanceRecord(instance, started_at=row.started_at, seen_at=row.seen_at)
