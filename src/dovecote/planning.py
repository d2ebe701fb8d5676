"""The scheduler's part of the composition root: schedules of notifications, and the jobs of APScheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovecote.observability.tracing import enqueuing
from dovecote.scheduler import Scheduler, SchedulerSettings
from dovecote.schedules import Schedules
from dovecote.stores.database import Database
from dovecote.stores.firing import FiringStore
from dovecote.stores.job_runs import JobRuns
from dovecote.stores.jobs import JobRecords, Jobs
from dovecote.stores.schedules import SchedulesBook

if TYPE_CHECKING:
    from dovecote.config import Settings
    from dovecote.observability.metrics import Metrics
    from dovecote.ports import BotStore, Election, JobRunStore, JobStore
    from dovecote.stores.database import Run
    from dovecote.stores.enqueue import Enqueuer

MEGABYTE = 1024 * 1024
# Of an event loop: for units of work, and for the record of runs.
JOB_CONNECTIONS = 6


class Planning:
    """What one Dovecote plans. Nothing is opened before it is needed."""

    def __init__(
        self, database: Database, settings: Settings, metrics: Metrics, bots: BotStore, enqueuer: Enqueuer
    ) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._job_database: Database | None = None
        # What is done by hand comes from whatever event loop, and seldom: no connection is held for it.
        self._bots = bots
        self._enqueuer = enqueuer
        self._largest_upload = settings.telegram.largest_upload * MEGABYTE
        self.schedules = Schedules(self._book(), self._firing(hold=False), bots, within=self._within)
        self.jobs = JobRecords(database)

    def scheduler(self, election: Election) -> Scheduler:
        """The loop that fires what is due, ready to `run`."""
        chosen = self._settings.scheduler
        settings = SchedulerSettings(look_interval=chosen.look_interval, sweep_interval=chosen.sweep_interval)
        return Scheduler(self._firing(), election, settings, self._metrics)

    def _firing(self, *, hold: bool = True, run: Run | None = None) -> FiringStore:
        return FiringStore(
            self._database,
            key_window=self._settings.enqueue.key_window,
            largest_upload=self._largest_upload,
            hold=hold,
            run=run,
            span=enqueuing,
        )

    def _book(self, run: Run | None = None) -> SchedulesBook:
        return SchedulesBook(self._database, largest_upload=self._largest_upload, run=run)

    def _within(self, connection: object) -> Schedules:
        """The schedules in a transaction of the application's."""
        run = self._enqueuer.run_within(connection)
        return Schedules(self._book(run), self._firing(run=run), self._bots, within=self._within)

    def jobs_of(self, store: str) -> tuple[JobStore, JobRunStore]:
        """The jobs of one job store of APScheduler, and their runs."""
        if self._job_database is None:
            # Kept open, in each event loop: there is a transaction for each run.
            self._job_database = Database(
                self._database.url, pool_size=JOB_CONNECTIONS, keeps_statements=self._database.keeps_statements
            )
        return Jobs(self._job_database, store), JobRuns(self._job_database, store)

    async def close(self) -> None:
        """Give back every connection."""
        if self._job_database is not None:
            await self._job_database.close()
