"""The definitions of APScheduler's jobs, within one job store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.errors import UnknownJob
from dovecote.model import JobRun, RunPolicy, RunState, StoredJob, Stranger
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.stores.database import Database

# Ids in one statement: well below what either database takes as parameters.
CHUNK = 1000


class Jobs:
    """`ports.JobStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, store: str, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._store = store
        self._job, self._run, self._stranger = (
            database.tables.jobs.job,
            database.tables.jobs.run,
            database.tables.jobs.stranger,
        )
        self._insert: Any = (postgresql if database.is_postgresql else sqlite).insert
        self._clock = StoreClock(database, clock)

    async def add(self, job_id: str, definition: str, next_run_at: datetime | None) -> StoredJob | None:
        """See `ports.JobStore.add`."""
        job = self._job

        def write(connection: Connection) -> StoredJob | None:
            now = self._clock.now(connection)
            values = {
                "definition": definition,
                "revision": 1,
                "next_run_at": next_run_at,
                "finished": False,
                "created_at": now,
                "changed_at": now,
                "problem": None,
            }
            statement = self._insert(job).values(store=self._store, id=job_id, **values)
            # In the place of one that is finished, and is kept for its last run alone.
            statement = statement.on_conflict_do_update(
                index_elements=[job.c.store, job.c.id],
                set_={**values, "revision": job.c.revision + 1},
                where=job.c.finished,
            )
            row = connection.execute(statement.returning(*job.c)).one_or_none()
            return None if row is None else stored_job(row)

        return await self._database.run(write, write=True)

    async def change(
        self, job_id: str, definition: str | None, *, next_run_at: datetime | None = None, reschedule: bool = False
    ) -> StoredJob | None:
        """See `ports.JobStore.change`."""
        job = self._job

        def write(connection: Connection) -> StoredJob | None:
            values: dict[str, Any] = {
                "revision": job.c.revision + 1,
                "changed_at": self._clock.now(connection),
                "problem": None,
            }
            if definition is not None:
                values["definition"] = definition
            if reschedule:
                values["next_run_at"] = next_run_at
            statement = job.update().where(*self._this(job_id), ~job.c.finished).values(**values).returning(*job.c)
            row = connection.execute(statement).one_or_none()
            return None if row is None else stored_job(row)

        return await self._database.run(write, write=True)

    async def remove(self, job_id: str) -> bool:
        """See `ports.JobStore.remove`."""

        def write(connection: Connection) -> bool:
            found = connection.execute(self._job.delete().where(*self._this(job_id)).returning(self._job.c.finished))
            finished = found.scalar()
            if finished is not None:
                self._cancel(connection, job_id)
            return finished is False

        return await self._database.run(write, write=True)

    async def remove_all(self) -> int:
        """See `ports.JobStore.remove_all`."""

        def write(connection: Connection) -> int:
            found = connection.execute(self._job.delete().where(self._job.c.store == self._store))
            self._cancel(connection, None)
            return found.rowcount

        return await self._database.run(write, write=True)

    async def jobs(self, ids: Sequence[str] | None = None) -> Sequence[StoredJob]:
        """See `ports.JobStore.jobs`."""
        statement = select(self._job).where(self._job.c.store == self._store)

        def read(connection: Connection) -> list[StoredJob]:
            if ids is None:
                return [stored_job(row) for row in connection.execute(statement)]
            return [
                stored_job(row)
                for start in range(0, len(ids), CHUNK)
                for row in connection.execute(statement.where(self._job.c.id.in_(ids[start : start + CHUNK])))
            ]

        return sorted(await self._database.run(read), key=lambda job: job.id)

    async def versions(self) -> Mapping[str, tuple[int, datetime | None]]:
        """See `ports.JobStore.versions`."""
        job = self._job.c
        statement = select(job.id, job.revision, job.next_run_at).where(job.store == self._store)

        def read(connection: Connection) -> dict[str, tuple[int, datetime | None]]:
            return {row.id: (row.revision, row.next_run_at) for row in connection.execute(statement)}

        return await self._database.run(read)

    async def note(self, problems: Mapping[str, str | None], strangers: Sequence[Stranger] | None = None) -> None:
        """See `ports.JobStore.note`."""
        job, stranger = self._job, self._stranger

        def write(connection: Connection) -> None:
            for job_id, problem in sorted(problems.items()):
                known = job.c.problem.is_distinct_from(problem)
                connection.execute(job.update().where(*self._this(job_id), known).values(problem=problem))
            if strangers is not None:
                connection.execute(stranger.delete().where(stranger.c.store == self._store))
                rows = [
                    {"store": self._store, "id": each.id, "reason": each.reason, "seen_at": each.seen_at}
                    for each in strangers
                ]
                if rows:
                    connection.execute(self._insert(stranger).on_conflict_do_nothing(), rows)

        await self._database.run(write, write=True)

    def _this(self, job_id: str) -> tuple[Any, ...]:
        return (self._job.c.store == self._store, self._job.c.id == job_id)

    def _cancel(self, connection: Connection, job_id: str | None) -> None:
        """End the runs of a job, or of all, that have not begun: nothing says any more what they would do."""
        run = self._run
        waiting = run.update().where(run.c.store == self._store, run.c.state == RunState.DUE)
        if job_id is not None:
            waiting = waiting.where(run.c.job_id == job_id)
        connection.execute(waiting.values(state=RunState.CANCELLED, due_at=None, ended_at=self._clock.now(connection)))


class JobRecords:
    """What an operator reads of the jobs of every job store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = database.tables.jobs

    async def jobs(self) -> Sequence[tuple[StoredJob, JobRun | None]]:
        """Every job that is not finished, by store and id, with its last run that has begun."""
        job, run, begun = self._tables.job, self._tables.run, self._tables.run.alias()
        # By the primary key, from its end: a look at one row for each job, however many runs there are.
        latest = (
            select(begun.c.fire_at)
            .where(begun.c.store == job.c.store, begun.c.job_id == job.c.id, begun.c.started_at.is_not(None))
            .order_by(begun.c.fire_at.desc())
            .limit(1)
            .correlate(job)
            .scalar_subquery()
        )
        jobs = select(job).where(~job.c.finished)
        this = and_(run.c.store == job.c.store, run.c.job_id == job.c.id, run.c.fire_at == latest)
        last = select(run).select_from(job.join(run, this)).where(~job.c.finished)

        def read(connection: Connection) -> list[tuple[StoredJob, JobRun | None]]:
            runs = {(row.store, row.job_id): job_run(row) for row in connection.execute(last)}
            found = [stored_job(row) for row in connection.execute(jobs)]
            return [(each, runs.get((each.store, each.id))) for each in found]

        return sorted(await self._database.run(read), key=lambda pair: (pair[0].store, pair[0].id))

    async def job(
        self, job_id: str, *, store: str | None = None, limit: int = 20
    ) -> tuple[Sequence[StoredJob], Sequence[JobRun]]:
        """The job of that id in each job store, or in `store`, and its runs, the latest first. Raises UnknownJob.

        One that is removed is known as long as its runs are.
        """
        job, run = self._tables.job, self._tables.run
        jobs = select(job).where(job.c.id == job_id).order_by(job.c.store)
        runs = select(run).where(run.c.job_id == job_id).order_by(run.c.fire_at.desc()).limit(limit)
        if store is not None:
            jobs, runs = jobs.where(job.c.store == store), runs.where(run.c.store == store)

        def read(connection: Connection) -> tuple[list[StoredJob], list[JobRun]]:
            found = [stored_job(row) for row in connection.execute(jobs)]
            return found, [job_run(row) for row in connection.execute(runs)]

        found, ran = await self._database.run(read)
        if not found and not ran:
            raise UnknownJob(job_id)
        return found, ran

    async def strangers(self) -> Sequence[Stranger]:
        """What Redis holds and no database knows, by store and id."""
        statement = select(self._tables.stranger)

        def read(connection: Connection) -> list[Stranger]:
            return [
                Stranger(store=row.store, id=row.id, reason=row.reason, seen_at=row.seen_at)
                for row in connection.execute(statement)
            ]

        return sorted(await self._database.run(read), key=lambda each: (each.store, each.id))


def stored_job(row: Row[Any]) -> StoredJob:
    """A row of `job`."""
    return StoredJob(
        store=row.store,
        id=row.id,
        definition=row.definition,
        revision=row.revision,
        next_run_at=row.next_run_at,
        finished=row.finished,
        created_at=row.created_at,
        changed_at=row.changed_at,
        problem=row.problem,
    )


def job_run(row: Row[Any]) -> JobRun:
    """A row of `job_run`."""
    return JobRun(
        store=row.store,
        job_id=row.job_id,
        fire_at=row.fire_at,
        state=RunState(row.state),
        policy=RunPolicy(row.policy),
        attempts=row.attempts,
        due_at=row.due_at,
        coalesced=row.coalesced,
        coalesced_from=row.coalesced_from,
        term=row.term,
        instance=row.instance,
        lease_token=row.lease_token,
        planned_at=row.planned_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error=row.error,
    )
