"""All that is behind a job store: memory, the database, the copy in Redis, the planner, the recorder, in one thread."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

from dovecote.errors import DovecoteError
from dovecote.integrations.apscheduler.backstage import Backstage
from dovecote.integrations.apscheduler.mirror import Mirror, known
from dovecote.integrations.apscheduler.planner import Leading, Planner
from dovecote.integrations.apscheduler.recorder import STUCK_SECONDS, Recorder
from dovecote.integrations.apscheduler.redis_copy import RedisCopy, connected
from dovecote.model import StoredJob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence

    from dovecote.app import Dovecote
    from dovecote.integrations.apscheduler.mirror import Known
    from dovecote.integrations.apscheduler.redis_copy import Entry
    from dovecote.model import StartedRun, Stranger
    from dovecote.ports import Leadership
    from dovecote.retry import RetryPolicy

T = TypeVar("T")

logger = logging.getLogger(__name__)

# How often the memory is compared with the database: with news from Redis, and without.
COMPARED_SECONDS = 10.0
COMPARED_OFTEN_SECONDS = 1.0
READ_AT_ONCE = 200
DRAIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long what takes."""

    lease: timedelta = timedelta(seconds=15)
    """How long a run is its process's own without a sign of life."""
    keep: timedelta = timedelta(days=30)
    """How long runs that have ended are kept."""
    answer: float = 5.0
    """Seconds that adding, changing or removing a job may block the event loop, if the database hangs."""


class Keeper:
    """One job store's world, made in the application's event loop.

    Its methods are the event loop's; what has an underscore is backstage.
    """

    def __init__(
        self,
        dovecote: Dovecote,
        leadership: Leadership,
        *,
        store: str,
        redis: tuple[Mapping[str, Any], int, str],
        default: RetryPolicy,
        timing: Timing,
        unusable: Callable[[Known], str | None],
        wake_scheduler: Callable[[], None],
    ) -> None:
        self.mirror = Mirror()
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._leadership = leadership
        self._timing = timing
        self._store = store
        self._jobs, self.runs = dovecote.jobs_of(store)
        self._is_sqlite = not dovecote.database.is_postgresql
        self._units = 0
        self._unusable = unusable
        self._backstage = Backstage(f"dovecote {store}")
        self._stale: set[str] = set()
        self._compare = True
        self._compared = float("-inf")
        self._stale_now = asyncio.Event()
        self._problems: dict[str, str | None] = {}
        self._strangers: Sequence[Stranger] | None = None
        self._told: dict[str, str | None] = {}
        self._judged_in: int | None = None
        self._faults: set[str] = set()
        self._stopped = threading.Event()
        self.recorder = Recorder(
            self.runs,
            instance=self.instance,
            term=self._term,
            lease=timing.lease,
            application=asyncio.get_running_loop(),
            relieved=wake_scheduler,
        )
        leading = Leading(
            term=self._term,
            wake_scheduler=wake_scheduler,
            unusable=unusable,
            moved=self._moved,
            outdated=self._outdated,
        )
        self.planner = Planner(
            self.mirror,
            self.runs,
            leading,
            instance=self.instance,
            default=default,
            random=SystemRandom(),
            keep=timing.keep,
            end=self.recorder.end,
        )
        connect_args, db, run_times = redis
        self._copy = RedisCopy(
            connected(connect_args, db),
            store=store,
            run_times=run_times,
            term=lambda: leadership.term,  # at the end, what is left to write still is
            entries=self._entries,
            kept=self._kept,
            hint=self._hint,
            report=self._report,
        )

    # The event loop's side.

    def start(self) -> None:
        """Read all jobs, then begin. Raises NotMigrated and StoreUnavailable."""
        self._backstage.start()
        try:
            self._backstage.wait_for(self._read_all(), 60.0)
        except BaseException:
            self.stop()
            raise
        self._backstage.run("keeping the jobs", self._keep_true)
        self._backstage.run("the record of runs", self.recorder.run)
        self._backstage.run("the copy of the jobs in Redis", self._copy.run)
        self._backstage.run("listening to Redis", self._copy.listen)
        self._backstage.run("planning", self._plan)

    def stop(self) -> None:
        """Ask all of it to end; runs that end within seconds are recorded."""
        self._stopped.set()
        self._backstage.stop(self._drain, self._close)

    def join(self) -> bool:
        """Wait until it has ended, within a bound, and say whether it has."""
        return self._backstage.join()

    def wake(self) -> None:
        """Leadership has changed."""
        self._backstage.call(self.planner.wake.set)

    @asynccontextmanager
    async def unit(self, run: StartedRun) -> AsyncIterator[Any]:
        """The transaction of a unit of work, in the event loop."""
        self._units += 1
        try:
            async with self.runs.unit(run) as connection:
                yield connection
        finally:
            self._units -= 1

    def add(self, job_id: str, definition: str, next_run_at: datetime | None) -> bool:
        """Keep a new job; False when there is one of that id. Raises StoreUnavailable."""
        before = self.mirror.get(job_id)
        if self._held_up and before is not None and not before.stored.finished:
            return False
        now = datetime.now(UTC)
        wanted = StoredJob(
            store=self._store,
            id=job_id,
            definition=definition,
            revision=0 if before is None else before.stored.revision,
            next_run_at=next_run_at,
            finished=False,
            created_at=now,
            changed_at=now,
            problem=None,
        )
        return self._change(self._jobs.add(job_id, definition, next_run_at), wanted)

    def change(self, job_id: str, definition: str, *, next_run_at: datetime | None, reschedule: bool) -> bool:
        """Change a job; False when there is none of that id. Raises StoreUnavailable."""
        before = self.mirror.get(job_id)
        wanted = None
        if before is not None:
            at = next_run_at if reschedule else before.stored.next_run_at
            wanted = replace(before.stored, definition=definition, next_run_at=at)
        work = self._jobs.change(job_id, definition, next_run_at=next_run_at, reschedule=reschedule)
        return self._change(work, wanted)

    def read(self, job_id: str) -> StoredJob | None:
        """The job as the database has it now, None where it is finished or gone. Raises StoreUnavailable."""
        found = [job.stored for job in [self.mirror.get(job_id)] if job is not None]
        if not self._held_up:
            found = list(self._backstage.wait_for(self._jobs.jobs([job_id]), self._timing.answer))
        return next((stored for stored in found if not stored.finished), None)

    def remove(self, job_id: str) -> bool:
        """Remove a job; False when there is none of that id. Raises StoreUnavailable."""
        found = self._answer(self._jobs.remove(job_id), self.mirror.get(job_id) is not None)
        self.mirror.drop([job_id])
        self._backstage.call(self._copy.changed, job_id)
        return found

    def remove_all(self) -> None:
        """Remove every job. Raises StoreUnavailable."""
        ids = [job.stored.id for job in self.mirror.all()]
        self._answer(self._jobs.remove_all(), len(ids))
        self.mirror.drop(ids)
        for job_id in ids:
            self._backstage.call(self._copy.changed, job_id)

    def _change(self, work: Coroutine[Any, Any, StoredJob | None], wanted: StoredJob | None) -> bool:
        stored = self._answer(work, wanted)
        if stored is None:
            return False
        self.mirror.put(known(stored))
        self._backstage.call(self._copy.changed, stored.id)
        self._backstage.call(self._outdated, [stored.id])
        self.wake()
        return True

    @property
    def _held_up(self) -> bool:
        """Whether a unit of work of this loop has SQLite's only write lock, not given back before the loop goes on."""
        return bool(self._is_sqlite and self._units)

    def _answer(self, work: Coroutine[Any, Any, T], otherwise: T) -> T:
        """What the database says; or, where that would hold this loop up, `otherwise`, and it is done soon."""
        if self._held_up:
            self._backstage.later(work)
            return otherwise
        return self._backstage.wait_for(work, self._timing.answer)

    # Backstage.

    def _term(self) -> int | None:
        # A scheduler that is shut down leads nothing, whatever its process does.
        return None if self._stopped.is_set() else self._leadership.term

    async def _read_all(self) -> None:
        await self._take_in(await self._jobs.jobs())
        self._compared, self._compare = time.monotonic(), False

    async def _take_in(self, found: Sequence[StoredJob]) -> None:
        for index, stored in enumerate(found, start=1):
            job = known(stored)
            if self.mirror.put(job):
                self._judge(job)
            if index % READ_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _judge(self, job: Known) -> None:
        """Remember whether this process can run it, to be noted while it leads."""
        problem = job.problem or self._unusable(job)
        if problem is not None and self._told.get(job.stored.id) != problem:
            logger.warning('the job "%s" is kept, and not run by this process: %s', job.stored.id, problem)
        self._told[job.stored.id] = problem
        if job.stored.problem != problem:
            self._problems[job.stored.id] = problem
        else:
            self._problems.pop(job.stored.id, None)

    async def _keep_true(self) -> None:
        """Keep the memory as the database is, for ever."""
        while True:
            every = COMPARED_SECONDS if self._copy.listening else COMPARED_OFTEN_SECONDS
            try:
                async with asyncio.timeout(min(every, COMPARED_OFTEN_SECONDS)):
                    await self._stale_now.wait()
            except TimeoutError:
                self._compare = self._compare or time.monotonic() - self._compared >= every
            self._stale_now.clear()
            term = self._term()
            if term is not None and term != self._judged_in and await self._safely("reading the jobs", self._judge_all):
                self._judged_in = term
            await self._safely("comparing the jobs", self._refresh)
            if self._term() is not None and (self._problems or self._strangers is not None):
                await self._safely("noting problems of jobs", self._note)

    async def _judge_all(self) -> bool:
        """What an operator sees of the jobs was the judgement of the last leader."""
        await self._read_all()
        return True

    async def _refresh(self) -> None:
        stale = set(self._stale)
        if self._compare:
            stale |= await self._differing()
            self._compared, self._compare = time.monotonic(), False
        if not stale:
            return
        found = await self._jobs.jobs(sorted(stale))
        self._stale -= stale
        await self._take_in(found)
        gone = stale - {stored.id for stored in found}
        # Of those that nobody here knew, a hint may name what is of somebody else's.
        self._copy.moved(job_id for job_id in stale if self.mirror.get(job_id) is not None)
        self.mirror.drop(gone)
        for job_id in gone:
            self._told.pop(job_id, None)
            self._problems.pop(job_id, None)
        self.planner.wake.set()

    async def _differing(self) -> set[str]:
        true = await self._jobs.versions()
        known = (job.stored for job in self.mirror.all())
        mine = {stored.id: (stored.revision, stored.next_run_at) for stored in known}
        return {job_id for job_id in true.keys() | mine.keys() if true.get(job_id) != mine.get(job_id)}

    async def _note(self) -> None:
        """The leader's judgement is what an operator sees."""
        problems, strangers = dict(self._problems), self._strangers
        await self._jobs.note(problems, strangers)
        self._problems.clear()
        self._strangers = None

    async def _plan(self) -> None:
        await self.planner.run(lambda: self._safely("planning runs of jobs", self.planner.round))

    async def _safely(self, what: str, action: Callable[[], Any]) -> Any:
        """What it answers; None, and one line in the log, while the database cannot be reached."""
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                answer = await action()
        except (DovecoteError, TimeoutError) as error:
            if what not in self._faults:
                logger.warning("%s is put off: %s", what, error)
            self._faults.add(what)
            return None
        if what in self._faults:
            self._faults.discard(what)
            logger.info("%s goes on", what)
        return answer

    def _moved(self, moves: Mapping[str, datetime | None]) -> None:
        self._copy.moved(moves)

    def _outdated(self, ids: list[str]) -> None:
        self._stale.update(ids)
        self._stale_now.set()

    def _hint(self, ids: Sequence[str] | None) -> None:
        """Somebody says that these have changed."""
        if ids is None:
            self._compare = True
        else:
            self._stale.update(ids)
        self._stale_now.set()

    def _report(self, strangers: Sequence[Stranger]) -> None:
        self._strangers = strangers
        self._stale_now.set()

    def _entries(self, ids: Iterable[str] | None) -> dict[str, Entry]:
        jobs = self.mirror.all() if ids is None else [job for each in ids if (job := self.mirror.get(each))]
        return {stored.id: _entry(stored) for stored in (job.stored for job in jobs) if not stored.finished}

    async def _kept(self, ids: Sequence[str]) -> set[str] | None:
        """See `RedisCopy`."""
        found = await self._safely("looking for jobs of the copy", lambda: self._jobs.jobs(ids))
        return None if found is None else {stored.id for stored in found if not stored.finished}

    async def _drain(self) -> None:
        """Let what has been running be recorded."""
        until = time.monotonic() + DRAIN_SECONDS
        # What it waits for is done in other threads.
        while self.recorder.busy and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _close(self) -> None:
        self.recorder.close()
        await self._copy.close()
        await self.runs.close()


def _entry(stored: StoredJob) -> Entry:
    return stored.definition, None if stored.next_run_at is None else stored.next_run_at.timestamp()
