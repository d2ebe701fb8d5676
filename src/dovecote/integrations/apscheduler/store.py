"""The job store that APScheduler sees. Every call looks at memory; what changes a job waits for the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
)
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.jobstores.base import BaseJobStore, ConflictingIdError, JobLookupError

from dovecote.errors import InvalidJob, NotConfigured
from dovecote.integrations.apscheduler.definitions import same, write_definition
from dovecote.integrations.apscheduler.running import DueJob, due_job
from dovecote.model import RunKey, RunState

if TYPE_CHECKING:
    from apscheduler.job import Job

    from dovecote.integrations.apscheduler.keeper import Keeper
    from dovecote.integrations.apscheduler.mirror import Known
    from dovecote.integrations.apscheduler.running import Backing

EVENTS = EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR
# Jobs that are handed to executors before the event loop does something else.
HANDED_AT_ONCE = 10
# How often other processes may come between while a job is replaced.
REPLACED_TRIES = 100
PAUSED = datetime.max.replace(tzinfo=UTC)


class RedisJobStore(BaseJobStore):  # type: ignore[misc]  # APScheduler has no type hints
    """Jobs of an elected scheduler, with the constructor of APScheduler's own store.

    `db` is the number of the Redis database; `jobs_key` and `run_times_key` are where the copy stands. The names differ
    from those of APScheduler's store, which deletes what it cannot unpickle. Everything else goes to Redis's client.
    `pickle_protocol` is taken and means nothing: no pickle is ever written or read.
    """

    def __init__(
        self,
        db: int = 1,
        jobs_key: str = "dovecote.jobs",
        run_times_key: str = "dovecote.run_times",
        pickle_protocol: int | None = None,
        **connect_args: Any,
    ) -> None:
        super().__init__()
        del pickle_protocol
        if not jobs_key or not run_times_key or jobs_key == run_times_key:
            raise ValueError(
                f"jobs_key is {jobs_key!r} and run_times_key is {run_times_key!r}: give two names that differ."
            )
        if "connection_pool" in connect_args:
            raise ValueError("a connection_pool cannot be shared with this job store: give host, port and so on.")
        self.db, self.jobs_key, self.run_times_key = int(db), jobs_key, run_times_key
        self.connect_args = connect_args
        self.made_at = datetime.now(UTC)
        self._keeper: Keeper | None = None
        self._backing: Backing | None = None
        self._handed: dict[str, tuple[RunKey, ...]] = {}
        self._finished: set[str] = set()

    def __repr__(self) -> str:
        return f"<RedisJobStore {self.jobs_key} in database {self.db}>"

    def attach(self, keeper: Keeper, backing: Backing) -> None:
        """Take what is behind it. `elected` does this before the scheduler starts."""
        self._keeper, self._backing = keeper, backing

    def unusable(self, job: Known) -> str | None:
        """Why this process cannot run a job that it can read: its executor."""
        if job.definition is None:
            return job.problem
        executor = self._scheduler._executors.get(job.definition.executor) if self._scheduler else None  # noqa: SLF001
        if executor is None:
            return f'there is no executor "{job.definition.executor}" in this process'
        return _refusal(executor)

    # What APScheduler calls.

    def start(self, scheduler: Any, alias: str) -> None:
        """Read the jobs. Raises NotConfigured where the scheduler is not elected, NotMigrated, StoreUnavailable."""
        super().start(scheduler, alias)
        if self._keeper is None:
            raise NotConfigured(
                "this job store runs under an election only: write scheduler = elected(AsyncIOScheduler(...)) with"
                " `elected` of dovecote.integrations.apscheduler."
            )
        scheduler.add_listener(self._on_event, EVENTS)
        self._keeper.start()

    def shutdown(self) -> None:
        """End it in the background; runs that end within seconds are recorded."""
        if self._keeper is not None:
            self._scheduler.remove_listener(self._on_event)
            self._keeper.stop()
            self._keeper = None

    def lookup_job(self, job_id: str) -> Job | None:
        """The job as memory has it; None where there is none that this process can read."""
        job = self._kept.mirror.get(job_id)
        return None if job is None else self._job(job)

    def get_all_jobs(self) -> list[Job]:
        """The jobs that this process can read, by next run, paused ones last."""
        jobs = [made for job in self._kept.mirror.all() if (made := self._job(job)) is not None]
        return sorted(jobs, key=lambda job: job.next_run_time or PAUSED)

    def get_due_jobs(self, now: datetime) -> list[Job]:
        """A slice of the runs that are planned. What is due is not decided here, nor by this machine's `now`."""
        del now
        keeper, backing = self._kept, self._backing
        assert backing is not None  # noqa: S101 (it comes with the keeper)
        for keys in self._handed.values():
            # The last time APScheduler could not submit these, and said so in its log.
            for key in keys:
                keeper.planner.given_up(key, RunState.FAILED, "its executor did not take it")
        self._handed.clear()
        self._finished.clear()
        jobs: list[Job] = []
        for ready in keeper.planner.take(0 if keeper.recorder.crowded else HANDED_AT_ONCE):
            if ready.job_id in self._handed:
                # One submission of a job at a time, so that its events can be told apart.
                keeper.planner.put_back(ready)
                continue
            job = due_job(ready, self._scheduler, self._alias, backing, ahead=keeper.planner.ahead)
            self._handed[ready.job_id] = tuple(RunKey(ready.job_id, each) for each in ready.fire_times)
            if ready.next_run_time is None and not ready.again:
                self._finished.add(ready.job_id)
            jobs.append(job)
        return jobs

    def get_next_run_time(self) -> datetime | None:
        """Now, while there is more to hand out; otherwise the planner or the recorder wakes the scheduler."""
        keeper = self._keeper
        more = keeper is not None and keeper.planner.has_ready and not keeper.recorder.crowded
        return datetime.now(UTC) if more else None

    def add_job(self, job: Job) -> None:
        """Keep a new job. Raises ConflictingIdError, InvalidJob, StoreUnavailable."""
        definition = self._definition(job)
        if not self._kept.add(job.id, definition, _utc(job.next_run_time)):
            raise ConflictingIdError(job.id)

    def update_job(self, job: Job) -> None:
        """Keep a changed job. Raises JobLookupError, InvalidJob, StoreUnavailable."""
        if isinstance(job, DueJob):
            return  # Its next run is planned.
        keeper, definition = self._kept, self._definition(job)
        next_run_at = _utc(job.next_run_time)
        if job._jobstore_alias is None:  # noqa: SLF001 (as long as it is not kept)
            self._replace(job, definition, next_run_at)
            return
        before = keeper.mirror.get(job.id)
        known = None if before is None or before.stored.finished else before.stored
        if known is not None and (known.definition, known.next_run_at) == (definition, next_run_at):
            return
        # A next run that the caller has not touched may be out of date by now.
        untouched = before is not None and next_run_at == before.stored.next_run_at
        if not keeper.change(job.id, definition, next_run_at=next_run_at, reschedule=not untouched):
            raise JobLookupError(job.id)

    def _replace(self, job: Job, definition: str, next_run_at: datetime | None) -> None:
        """Let a job be there that is added with `replace_existing`, and was found to be there already.

        One that says nothing new changes nothing: added again when a process starts, it keeps its next run. One that
        has ended or was removed meanwhile is added anew, as it would have been a moment later.
        """
        keeper = self._kept
        for _ in range(REPLACED_TRIES):
            before = keeper.read(job.id)
            if before is None:
                if keeper.add(job.id, definition, next_run_at):
                    return
            elif same(before.definition, definition, job, since=self.made_at):
                job.next_run_time = before.next_run_at
                return
            elif keeper.change(job.id, definition, next_run_at=next_run_at, reschedule=True):
                return
            # Another process was quicker, each time with the same id.
        raise ConflictingIdError(job.id)

    def remove_job(self, job_id: str) -> None:
        """Remove a job. Raises JobLookupError, StoreUnavailable."""
        if job_id in self._finished:
            # APScheduler removes a job whose trigger has nothing left. It is planned so, and kept for its last run.
            self._finished.discard(job_id)
            return
        if not self._kept.remove(job_id):
            raise JobLookupError(job_id)

    def remove_all_jobs(self) -> None:
        """Remove every job. Raises StoreUnavailable."""
        self._kept.remove_all()

    # Within.

    @property
    def _kept(self) -> Keeper:
        if self._keeper is None:
            raise NotConfigured("the job store is not started: start the scheduler first.")
        return self._keeper

    def _job(self, job: Known) -> Job | None:
        if job.definition is None or job.stored.finished:
            return None
        zone = self._scheduler.timezone
        next_run_time = None if job.stored.next_run_at is None else job.stored.next_run_at.astimezone(zone)
        return job.definition.job(job.stored.id, next_run_time, self._scheduler, self._alias)

    def _definition(self, job: Job) -> str:
        refusal = _refusal(self._scheduler._executors.get(job.executor))  # noqa: SLF001
        if refusal is not None:
            raise InvalidJob(f'the job "{job.id}" cannot be kept: {refusal}.')
        return write_definition(job)

    def _on_event(self, event: Any) -> None:
        keeper = self._keeper
        if keeper is None or event.jobstore != self._alias:
            return
        if event.code in {EVENT_JOB_SUBMITTED, EVENT_JOB_MAX_INSTANCES}:
            keys = self._handed.pop(event.job_id, ())
            if event.code == EVENT_JOB_MAX_INSTANCES:
                for key in keys:
                    keeper.planner.given_up(key, RunState.SKIPPED, "as many as max_instances allows were running")
        elif event.code == EVENT_JOB_MISSED:
            key = RunKey(event.job_id, event.scheduled_run_time)
            keeper.planner.given_up(key, RunState.MISSED, "it was later than misfire_grace_time allows")


def _refusal(executor: Any) -> str | None:
    if isinstance(executor, ProcessPoolExecutor):
        return (
            "a ProcessPoolExecutor runs it in another process, where no run can be recorded: use another executor, and"
            " a process pool inside of the function"
        )
    return None


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
