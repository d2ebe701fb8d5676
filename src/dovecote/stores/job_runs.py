"""The runs of APScheduler's jobs: planned once, taken under a lease, ended under its token.

- Whether a job is planned is decided by comparing and setting its `next_run_at` under a lock of its row: of two leaders
  one plans, and the runs stand in the same transaction as the next run. The primary key (store, job, fire time)
  refuses a second run even where somebody has set the next run back.
- A run begins by taking a lease whose token fences its end. A row that is locked is in the hands of a transaction that
  does the very thing, so nobody waits for it.
- A unit of work ends its run inside of its own transaction, under a lock: as long as it is open, no one else can take
  the run, whatever has become of the lease.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, exists, or_, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from dovecote.model import RunKey, RunState, StartedRun
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.jobs import job_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from dovecote.model import JobRun, Plan, RunEnd
    from dovecote.stores.database import Database

# A dead machine closes no connection; its lock on a run ends when the server has asked in vain for so long.
KEEPALIVE = text(
    "SELECT set_config('tcp_keepalives_idle', '10', true), set_config('tcp_keepalives_interval', '5', true),"
    " set_config('tcp_keepalives_count', '3', true)"
)
LONGEST_ERROR = 2000


class JobRuns:
    """`ports.JobRunStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, store: str, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._store = store
        self._job, self._run = database.tables.jobs.job, database.tables.jobs.run
        self._insert: Any = (postgresql if database.is_postgresql else sqlite).insert
        self._clock = StoreClock(database, clock)

    async def plan(self, plans: Sequence[Plan], *, instance: str, term: int) -> tuple[Sequence[RunKey], datetime]:
        """See `ports.JobRunStore.plan`."""
        job, run = self._job, self._run

        def write(connection: Connection) -> tuple[list[RunKey], datetime]:
            now = self._clock.now(connection)
            ids = [plan.job_id for plan in plans]
            # In the order of ids, so that two leaders wait for each other and do not deadlock.
            found = connection.execute(
                select(job.c.id, job.c.revision, job.c.next_run_at)
                .where(job.c.store == self._store, job.c.id.in_(ids))
                .order_by(job.c.id)
                .with_for_update()
            )
            true = {(row.id, row.revision, row.next_run_at) for row in found}
            accepted = [plan for plan in plans if (plan.job_id, plan.revision, plan.due_at) in true]
            if not accepted:
                return [], now
            connection.execute(
                job.update()
                .where(job.c.store == self._store, job.c.id == bindparam("which"))
                .values(next_run_at=bindparam("next"), finished=bindparam("done")),
                [
                    {"which": plan.job_id, "next": plan.next_run_at, "done": plan.next_run_at is None}
                    for plan in accepted
                ],
            )
            rows = [
                {
                    "store": self._store,
                    "job_id": plan.job_id,
                    "fire_at": planned.fire_at,
                    "state": RunState.DUE.value,
                    "policy": planned.policy.value,
                    "due_at": min(planned.fire_at, now),
                    "coalesced": planned.coalesced,
                    "coalesced_from": planned.coalesced_from,
                    "term": term,
                    "instance": instance,
                    "planned_at": now,
                }
                for plan in accepted
                for planned in plan.runs
            ]
            statement = self._insert(run).values(rows).on_conflict_do_nothing().returning(run.c.job_id, run.c.fire_at)
            return [RunKey(row.job_id, row.fire_at) for row in connection.execute(statement)] if rows else [], now

        return await self._database.run(write, write=True)

    async def start(
        self, keys: Sequence[RunKey], *, token: int, lease: timedelta, instance: str, term: int
    ) -> Mapping[RunKey, StartedRun]:
        """See `ports.JobRunStore.start`."""
        run = self._run

        def write(connection: Connection) -> dict[RunKey, StartedRun]:
            now = self._clock.now(connection)
            mine = and_(run.c.state == RunState.RUNNING, run.c.lease_token == token)
            found = connection.execute(
                select(run.c.job_id, run.c.fire_at, run.c.attempts, run.c.state)
                .where(*self._these(keys), or_(run.c.state == RunState.DUE, mine))
                .order_by(run.c.job_id, run.c.fire_at)
                .with_for_update(skip_locked=True)
            ).all()
            free = [RunKey(row.job_id, row.fire_at) for row in found if row.state == RunState.DUE]
            started = {
                (key := RunKey(row.job_id, row.fire_at)): StartedRun(
                    key, row.attempts + (row.state == RunState.DUE), token
                )
                for row in found
            }
            if free:
                values = {
                    "state": RunState.RUNNING,
                    "attempts": run.c.attempts + 1,
                    "due_at": now + lease,
                    "lease_token": token,
                    "term": term,
                    "instance": instance,
                    "started_at": now,
                }
                connection.execute(run.update().where(*self._these(free)).values(**values))
            return started

        return await self._database.run(write, write=True)

    async def settle(self, ends: Sequence[RunEnd], *, wait: bool = True) -> None:
        """See `ports.JobRunStore.settle`."""
        run = self._run

        def write(connection: Connection) -> None:
            now = self._clock.now(connection)
            free = None if wait else self._unlocked(connection, [end.key for end in ends])
            for fenced in (True, False):
                rows = [
                    {
                        "which": end.key.job_id,
                        "fired": end.key.fire_at,
                        "token": end.token,
                        "was": (RunState.RUNNING if fenced else RunState.DUE).value,
                        "to": end.state.value,
                        "due": None if end.retry_in is None else now + end.retry_in,
                        "ended": now if end.retry_in is None else None,
                        "why": None if end.error is None else end.error[:LONGEST_ERROR],
                    }
                    for end in sorted(ends, key=lambda end: (end.key.job_id, end.key.fire_at))
                    if (end.token is not None) is fenced and (free is None or end.key in free)
                ]
                if not rows:
                    continue
                statement = run.update().where(
                    run.c.store == self._store,
                    run.c.job_id == bindparam("which"),
                    run.c.fire_at == bindparam("fired"),
                    run.c.state == bindparam("was"),
                    run.c.lease_token.is_not_distinct_from(bindparam("token", type_=run.c.lease_token.type)),
                )
                connection.execute(
                    statement.values(
                        state=bindparam("to"),
                        due_at=bindparam("due"),
                        ended_at=bindparam("ended"),
                        error=bindparam("why"),
                        lease_token=None,
                    ),
                    rows,
                )

        await self._database.run(write, write=True)

    def _unlocked(self, connection: Connection, keys: Sequence[RunKey]) -> set[RunKey]:
        run = self._run.c
        found = connection.execute(
            select(run.job_id, run.fire_at)
            .where(*self._these(keys))
            .order_by(run.job_id, run.fire_at)
            .with_for_update(skip_locked=True)
        )
        return {RunKey(row.job_id, row.fire_at) for row in found}

    async def sweep(self, *, limit: int) -> tuple[Sequence[JobRun], datetime]:
        """See `ports.JobRunStore.sweep`."""
        run = self._run

        def read(connection: Connection) -> tuple[list[JobRun], datetime]:
            now = self._clock.now(connection)
            statement = (
                select(run)
                .where(run.c.store == self._store, run.c.due_at.is_not(None), run.c.due_at <= now)
                .order_by(run.c.due_at)
                .limit(limit)
            )
            return [job_run(row) for row in connection.execute(statement)], now

        return await self._database.run(read)

    async def renew(self, runs: Sequence[StartedRun], *, lease: timedelta) -> None:
        """See `ports.JobRunStore.renew`."""
        run = self._run
        tokens = {each.token for each in runs}

        def write(connection: Connection) -> None:
            # What is locked is being ended by the transaction of its unit of work.
            mine = connection.execute(
                select(run.c.job_id, run.c.fire_at)
                .where(
                    *self._these([each.key for each in runs]),
                    run.c.state == RunState.RUNNING,
                    run.c.lease_token.in_(tokens),
                )
                .order_by(run.c.job_id, run.c.fire_at)
                .with_for_update(skip_locked=True)
            ).all()
            keys = [RunKey(row.job_id, row.fire_at) for row in mine]
            if keys:
                due_at = self._clock.now(connection) + lease
                connection.execute(run.update().where(*self._these(keys)).values(due_at=due_at))

        await self._database.run(write, write=True)

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        """See `ports.JobRunStore.prune`."""
        job, run = self._job, self._run

        def write(connection: Connection) -> int:
            oldest = (
                select(run.c.job_id, run.c.fire_at)
                .where(
                    run.c.store == self._store,
                    run.c.ended_at.is_not(None),
                    run.c.ended_at < self._clock.now(connection) - older_than,
                )
                .order_by(run.c.ended_at)
                .limit(limit)
            )
            keys = [RunKey(row.job_id, row.fire_at) for row in connection.execute(oldest)]
            if keys:
                connection.execute(run.delete().where(*self._these(keys)))
            unfinished = exists().where(run.c.store == job.c.store, run.c.job_id == job.c.id, run.c.due_at.is_not(None))
            connection.execute(job.delete().where(job.c.store == self._store, job.c.finished, ~unfinished))
            return len(keys)

        return await self._database.run(write, write=True)

    @asynccontextmanager
    async def unit(self, run: StartedRun) -> AsyncIterator[AsyncConnection | Connection | None]:
        """See `ports.JobRunStore.unit`."""
        table = self._run
        this = (
            *self._these([run.key]),
            table.c.state == RunState.RUNNING,
            table.c.lease_token == run.token,
        )

        def take(connection: Connection) -> bool:
            if self._database.is_postgresql:
                connection.execute(KEEPALIVE)
            found = connection.execute(select(table.c.job_id).where(*this).with_for_update(skip_locked=True))
            return found.one_or_none() is not None

        def end(connection: Connection) -> None:
            values = {"state": RunState.DONE, "due_at": None, "error": None, "lease_token": None}
            now = self._clock.now(connection)
            connection.execute(table.update().where(*this).values(**values, ended_at=now))

        async with self._database.transaction() as connection:
            if not await _on(connection, take):
                yield None
                return
            yield connection
            await _on(connection, end)

    async def close(self) -> None:
        """See `ports.JobRunStore.close`."""
        await self._database.release()

    def _these(self, keys: Iterable[RunKey]) -> tuple[Any, ...]:
        run = self._run.c
        values = [(key.job_id, key.fire_at) for key in keys]
        return (run.store == self._store, tuple_(run.job_id, run.fire_at).in_(values))


async def _on(connection: AsyncConnection | Connection, function: Callable[[Connection], Any]) -> Any:
    if isinstance(connection, AsyncConnection):
        return await connection.run_sync(function)
    return function(connection)
