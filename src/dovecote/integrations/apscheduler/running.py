"""A job as it is handed to APScheduler's executors: its fire times are planned, its function records what it does.

The executor goes over the fire times, skips those that the job's `misfire_grace_time` does not allow, and calls the
function for the others; which one it is at is noted in a context variable, since the function is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, overload

from apscheduler.job import Job

from dovecote.integrations.apscheduler.definitions import Definition, fill
from dovecote.integrations.apscheduler.functions import policy_of, unit_place, with_unit
from dovecote.model import RunEnd, RunKey, RunPolicy, RunState
from dovecote.redaction import redact
from dovecote.retry import RetryPolicy, backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager
    from random import Random

    from dovecote.app import Dovecote
    from dovecote.integrations.apscheduler.recorder import Recorder
    from dovecote.model import Notification, StartedRun

UNITS_AT_ONCE = 5
AT_ONCE = timedelta(0)
FAR = datetime.max.replace(tzinfo=UTC)

_current: ContextVar[datetime] = ContextVar("dovecote_fire_time")


class FireTimes(list["datetime"]):
    """Fire times that note, in the context of whoever goes over them, which one it is at."""

    def __iter__(self) -> Iterator[datetime]:
        for fire_time in super().__iter__():
            _current.set(fire_time)
            yield fire_time


class JobUnit:
    """The unit of work of one run: what is done through it commits together with the record that the job ran.

    When the function raises, all of it is undone and the run is tried again by the job's policy.
    """

    def __init__(self, dovecote: Dovecote, connection: Any, run: StartedRun) -> None:
        self._dovecote = dovecote
        self.connection = connection
        """The transaction's connection: SQLAlchemy's AsyncConnection, on SQLite its Connection. Not to be committed."""
        self.job_id = run.key.job_id
        self.fire_time = run.key.fire_at
        self.attempt = run.attempt
        """Counts from 1."""

    @overload
    async def enqueue(self, notifications: Notification) -> int: ...

    @overload
    async def enqueue(self, notifications: Sequence[Notification]) -> list[int]: ...

    async def enqueue(self, notifications: Notification | Sequence[Notification]) -> int | list[int]:
        """Write notifications in the transaction, and answer their ids. Raises as `Dovecote.enqueue` does."""
        return await self._dovecote.enqueue(self.connection, notifications)

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Execute a statement of the application's own, SQLAlchemy's or text, and answer SQLAlchemy's result."""
        found = self.connection.execute(statement, parameters)
        return await found if inspect.isawaitable(found) else found


@dataclass(frozen=True, slots=True)
class Backing:
    """What a run needs."""

    dovecote: Dovecote
    recorder: Recorder
    unit: Callable[[StartedRun], AbstractAsyncContextManager[Any | None]]
    units: asyncio.Semaphore
    default: RetryPolicy
    random: Random
    finished: Callable[[RunKey], None]
    """Told when a run is out of this process's hands."""


class Planned:
    """In the place of a trigger: the next run is decided already."""

    def __init__(self, trigger: object, next_run_time: datetime | None) -> None:
        self._shown = str(trigger)
        self._next = next_run_time

    def get_next_fire_time(self, _previous: datetime | None, _now: datetime) -> datetime | None:
        """The next run as it was planned; None when there is none."""
        return self._next

    def __str__(self) -> str:
        return self._shown


class DueJob(Job):  # type: ignore[misc]  # APScheduler has no type hints
    """A job whose runs are planned. APScheduler computes nothing, and changes nothing."""

    __slots__ = ("times",)

    times: FireTimes

    def _get_run_times(self, _now: datetime) -> FireTimes:
        return self.times

    def _modify(self, **_changes: Any) -> None:
        """Nothing is changed: what is asked for is planned already."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Runs of one job that are planned and may be handed out."""

    job_id: str
    definition: Definition
    fire_times: tuple[datetime, ...]
    next_run_time: datetime | None
    again: bool
    """They were begun before: how late they are does not matter any more."""


def due_job(ready: Ready, scheduler: Any, alias: str, backing: Backing, *, ahead: timedelta) -> DueJob:
    """What the executor gets. `ahead` is by how much this machine's clock is ahead of the store's."""
    definition = ready.definition
    job = DueJob.__new__(DueJob)
    fill(job, definition, ready.job_id, next_run_time=ready.fire_times[0], scheduler=scheduler, alias=alias)
    job.times = FireTimes(ready.fire_times)
    job.coalesce = False  # It has been done.
    # For one that is tried again nothing ends here, whether or not its job has ended.
    job.trigger = Planned(definition.trigger, FAR if ready.again else ready.next_run_time)
    if ready.again:
        job.misfire_grace_time = None
    elif definition.misfire_grace_time is not None:
        # The executor looks at this machine's clock.
        job.misfire_grace_time = definition.misfire_grace_time + ahead.total_seconds()
    job.func = recorded(ready.job_id, definition.function, backing)
    return job


def recorded(job_id: str, function: Callable[..., Any], backing: Backing) -> Callable[..., Any]:
    """The job's function, with its run recorded before and after. Of the same kind as the function is."""
    policy, retry = policy_of(function, backing.default)

    if inspect.iscoroutinefunction(_innermost(function)):

        @functools.wraps(function)
        async def run_awaited(*args: Any, **kwargs: Any) -> Any:
            key = RunKey(job_id, _current.get())
            async with _finally(backing, key):
                started = await _begun(backing, key)
                if started is None:
                    return None
                if policy is RunPolicy.EXACTLY_ONCE:
                    return await _in_unit(backing, started, retry, _call(function, args, kwargs))
                try:
                    answer = await function(*args, **kwargs)
                except BaseException as error:
                    backing.recorder.end(failed(started, error, retry, backing.random))
                    raise
                backing.recorder.end(RunEnd(key=key, state=RunState.DONE, token=started.token))
                return answer

        return run_awaited

    @functools.wraps(function)
    def run_in_thread(*args: Any, **kwargs: Any) -> Any:
        key = RunKey(job_id, _current.get())
        try:
            started = backing.recorder.begin(key).result()
            if started is None:
                return None
            try:
                answer = function(*args, **kwargs)
            except BaseException as error:
                backing.recorder.end(failed(started, error, retry, backing.random))
                raise
            backing.recorder.end(RunEnd(key=key, state=RunState.DONE, token=started.token))
            return answer
        finally:
            backing.finished(key)

    return run_in_thread


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


@contextlib.asynccontextmanager
async def _finally(backing: Backing, key: RunKey) -> AsyncIterator[None]:
    try:
        yield
    finally:
        backing.finished(key)


async def _begun(backing: Backing, key: RunKey) -> StartedRun | None:
    asked = backing.recorder.begin(key)
    try:
        return await asyncio.wrap_future(asked)
    except asyncio.CancelledError:
        # The scheduler was shut down meanwhile. If it has begun for the record, it is given back: it did nothing.
        asked.add_done_callback(functools.partial(_give_back, backing.recorder))
        raise


def _give_back(recorder: Recorder, asked: Future[StartedRun | None]) -> None:
    started = None if asked.cancelled() else asked.result()
    if started is not None:
        recorder.end(RunEnd(key=started.key, state=RunState.DUE, token=started.token, retry_in=AT_ONCE))


def _call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[JobUnit], Awaitable[Any]]:
    place = unit_place(function)
    assert place is not None  # noqa: S101 (it is what makes it exactly once)

    async def call(unit: JobUnit) -> Any:
        given, named = with_unit(place, unit, args, kwargs)
        return await function(*given, **named)

    return call


async def _in_unit(
    backing: Backing,
    started: StartedRun,
    retry: RetryPolicy,
    function: Callable[[JobUnit], Awaitable[Any]],
) -> Any:
    answer = None
    try:
        async with backing.units, backing.unit(started) as connection:
            if connection is not None:
                unit = JobUnit(backing.dovecote, connection, started)
                answer = await function(unit)
    except BaseException as error:
        # Where the commit itself was cut off nobody knows; if it was done, this changes nothing.
        backing.recorder.end(failed(started, error, retry, backing.random))
        raise
    backing.recorder.ended_elsewhere(started.key)
    return answer


def failed(started: StartedRun, error: BaseException, retry: RetryPolicy, random: Random) -> RunEnd:
    """The end of a run that raised: due again while there are attempts left."""
    told = redact(f"{type(error).__name__}: {error}")
    if isinstance(error, asyncio.CancelledError):
        told = "it was cut off: the scheduler was shut down"
    if started.attempt >= retry.attempts:
        return RunEnd(key=started.key, state=RunState.FAILED, token=started.token, error=told)
    pause = AT_ONCE if isinstance(error, asyncio.CancelledError) else backoff(started.attempt, retry, random)
    return RunEnd(key=started.key, state=RunState.DUE, token=started.token, error=told, retry_in=pause)
