"""What the leader does: plans the runs of due jobs, hands them out, and takes care of those that somebody left behind.

A run is planned in one transaction with its job's next run, in slices, and only then handed to APScheduler; so a crash
anywhere leaves either a job that is still due or a run that is. Both are found by whoever leads next, and the job's own
`misfire_grace_time` and `coalesce` say what becomes of them. What is due is decided by the store's clock: a machine
whose own clock is off fires at the same instants.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dovecote.integrations.apscheduler.full_passes import FullPasses
from dovecote.integrations.apscheduler.functions import policy_of
from dovecote.integrations.apscheduler.running import Ready
from dovecote.model import Plan, PlannedRun, RunEnd, RunKey, RunPolicy, RunState
from dovecote.retry import RetryPolicy, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from apscheduler.triggers.base import BaseTrigger

    from dovecote.integrations.apscheduler.mirror import Known, Mirror
    from dovecote.model import JobRun
    from dovecote.ports import JobRunStore

logger = logging.getLogger(__name__)

# Jobs in one transaction, few enough that to write them never holds up the event loop's thread for long, and fire times
# of one job in one plan where they are not coalesced.
SLICE = 50
MOST_FIRE_TIMES = 1000
# Runs that are planned and not yet handed out: what a crash leaves to be found.
MOST_READY = 1000
STEPS = 200
SWEEP_SECONDS = 1.0
MOST_SWEPT = 20_000
PRUNE_SECONDS = 60.0
PRUNED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Leading:
    """What the planner knows of its surroundings; each is asked anew every time."""

    term: Callable[[], int | None]
    wake_scheduler: Callable[[], None]
    unusable: Callable[[Known], str | None]
    """Why this process cannot run a job although it can read it."""
    moved: Callable[[dict[str, datetime | None]], None]
    """Told of the next runs that were planned; None for a job that is finished."""
    outdated: Callable[[list[str]], None]
    """Told of jobs that are not as the mirror has them."""


class Planner:
    """Plans and hands out. `take`, `returned` and `given_up` are the event loop's, the rest is backstage."""

    def __init__(
        self,
        mirror: Mirror,
        runs: JobRunStore,
        leading: Leading,
        *,
        instance: str,
        default: RetryPolicy,
        random: Random,
        keep: timedelta,
        end: Callable[[RunEnd], None],
    ) -> None:
        self._mirror = mirror
        self._runs = runs
        self._leading = leading
        self._instance = instance
        self._default = default
        self._random = random
        self._keep = keep
        self._end = end
        self._lock = threading.Lock()
        self._ready: deque[Ready] = deque()
        self._in_hand: set[RunKey] = set()
        self._swept = self._pruned = float("-inf")
        self._swept_at_once = SLICE
        self._leads_in: int | None = None
        self.ahead = timedelta(0)
        """By how much this machine's clock is ahead of the store's."""
        self._passes = FullPasses()
        self.wake = asyncio.Event()

    # The event loop's side.

    def take(self, limit: int) -> list[Ready]:
        """Up to `limit` that may be handed out now; none once the trust has ended."""
        if self._leading.term() is None:
            return []
        with self._lock:
            return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def put_back(self, ready: Ready) -> None:
        """Let it be taken the next time."""
        with self._lock:
            self._ready.append(ready)

    @property
    def has_ready(self) -> bool:
        """Whether there is more to be taken."""
        return bool(self._ready)

    def returned(self, key: RunKey) -> None:
        """A run is out of this process's hands."""
        with self._lock:
            self._in_hand.discard(key)

    def given_up(self, key: RunKey, state: RunState, error: str | None = None) -> None:
        """A run that was handed out will not begin."""
        self._end(RunEnd(key=key, state=state, error=error))
        self.returned(key)

    # Backstage.

    async def run(self, safely: Callable[[], Awaitable[float | None]]) -> None:
        """Do one round after the other, for ever; `safely` does one, and answers None where it could not."""
        try:
            while True:
                wait = await safely()
                if wait == 0:
                    await asyncio.sleep(0)
                    continue
                try:
                    async with asyncio.timeout(1.0 if wait is None else wait):
                        await self.wake.wait()
                except TimeoutError:
                    continue
                self.wake.clear()
        finally:
            self._passes.allow()

    async def round(self) -> float:
        """Do what there is to do now, and answer in how many seconds to come again, if nothing wakes it."""
        term = self._leading.term()
        if term is None:
            self._cease()
            return SWEEP_SECONDS
        if term != self._leads_in:
            self._leads_in, self._swept = term, float("-inf")
        if time.monotonic() - self._swept >= SWEEP_SECONDS:
            await self._sweep()
            self._swept = time.monotonic()
            await self._prune()
        if len(self._ready) >= MOST_READY:
            return 0.05
        due = self._mirror.due(self.now(), SLICE)
        if len(due) == SLICE:
            self._passes.put_off()
        elif len(self._in_hand) < SLICE:
            self._passes.allow()
        if due:
            await self._plan(due, term)
            return 0.0
        next_run_at = self._mirror.next_run_at()
        if next_run_at is None:
            return SWEEP_SECONDS
        return max(0.0, min(SWEEP_SECONDS, (next_run_at - self.now()).total_seconds()))

    def now(self) -> datetime:
        """The store's time, as far as it is known."""
        return datetime.now(UTC) - self.ahead

    def _cease(self) -> None:
        """Whoever leads now finds what was not handed out among the runs that are due."""
        self._leads_in = None
        self._passes.allow()
        with self._lock:
            for ready in self._ready:
                self._in_hand.difference_update(RunKey(ready.job_id, each) for each in ready.fire_times)
            self._ready.clear()

    async def _plan(self, due: list[Known], term: int) -> None:
        now = self.now()
        plans: dict[str, tuple[Plan, Known]] = {}
        unplanned = list(due)
        try:
            for job in due:
                plan = await self._plan_of(job, now)
                if plan is not None:
                    plans[plan.job_id] = plan, job
                await asyncio.sleep(0)
            if not plans or self._leading.term() != term:
                return
            keys = await self._written([plan for plan, _ in plans.values()], term)
            unplanned = []
        finally:
            self._mirror.put_back(job for job in unplanned if self._leading.unusable(job) is None)
        planned = {key.job_id for key in keys}
        moves = {job_id: plan.next_run_at for job_id, (plan, _) in plans.items() if job_id in planned}
        self._mirror.moved({job_id: (plans[job_id][0].revision, at) for job_id, at in moves.items()})
        self._leading.moved(moves)
        if others := [job_id for job_id in plans if job_id not in planned]:
            self._leading.outdated(others)
        taken = set(keys)
        for job_id, (plan, job) in plans.items():
            fire_times = tuple(run.fire_at for run in plan.runs if RunKey(job_id, run.fire_at) in taken)
            if fire_times:
                self._make_ready(job, fire_times, plan.next_run_at, again=False)
        self._leading.wake_scheduler()

    async def _written(self, plans: list[Plan], term: int) -> list[RunKey]:
        before = datetime.now(UTC)
        keys, now = await self._runs.plan(plans, instance=self._instance, term=term)
        self._set_clock(before, now)
        return list(keys)

    def _set_clock(self, before: datetime, store_now: datetime) -> None:
        """Learn by how much this machine's clock is ahead; the store looked at its own in between."""
        ahead = before + (datetime.now(UTC) - before) / 2 - store_now
        # What the way there and back may have cost is no difference of clocks.
        self.ahead = ahead if abs(ahead) > timedelta(milliseconds=250) else timedelta(0)

    async def _plan_of(self, job: Known, now: datetime) -> Plan | None:
        """All fire times up to now; where they are coalesced, the last of them stands for all."""
        definition, stored = job.definition, job.stored
        if definition is None or stored.next_run_at is None or self._leading.unusable(job) is not None:
            return None
        policy, _ = policy_of(definition.function, self._default)
        fire_times: list[datetime] = []
        count, first, last = 0, stored.next_run_at, stored.next_run_at
        at: datetime | None = stored.next_run_at
        while at is not None and at <= now and len(fire_times) < MOST_FIRE_TIMES:
            count, last = count + 1, at
            if not definition.coalesce:
                fire_times.append(at)
            at = next_fire_time(definition.trigger, at, now)
            if count % STEPS == 0:
                await asyncio.sleep(0)
        runs: tuple[PlannedRun, ...]
        if definition.coalesce:
            runs = (
                PlannedRun(
                    fire_at=last, policy=policy, coalesced=count - 1, coalesced_from=first if count > 1 else None
                ),
            )
        else:
            runs = tuple(PlannedRun(fire_at=each, policy=policy) for each in fire_times)
        return Plan(job_id=stored.id, revision=stored.revision, due_at=stored.next_run_at, next_run_at=at, runs=runs)

    def _make_ready(
        self, job: Known, fire_times: tuple[datetime, ...], next_run_time: datetime | None, *, again: bool
    ) -> None:
        assert job.definition is not None  # noqa: S101 (others are not planned)
        with self._lock:
            self._in_hand.update(RunKey(job.stored.id, each) for each in fire_times)
            self._ready.append(Ready(job.stored.id, job.definition, fire_times, next_run_time, again))

    async def _sweep(self) -> None:
        """Find the runs that are due again, and those that somebody left behind."""
        before = datetime.now(UTC)
        found, now = await self._runs.sweep(limit=self._swept_at_once)
        self._set_clock(before, now)
        ends: list[RunEnd] = []
        left = 0
        for run in found:
            key = RunKey(run.job_id, run.fire_at)
            with self._lock:
                in_hand = key in self._in_hand
            if in_hand:
                left += 1
                continue
            if run.state is RunState.RUNNING:
                ends.append(self._lost(run, key))
                continue
            job = self._mirror.get(run.job_id)
            if job is None:
                ends.append(RunEnd(key=key, state=RunState.CANCELLED, error="there is no such job any more"))
            elif job.definition is not None and self._leading.unusable(job) is None:
                self._make_ready(job, (run.fire_at,), job.stored.next_run_at, again=run.attempts > 0)
            else:
                left += 1
        # What has to stay as it is must not hide what stands behind it.
        self._swept_at_once = min(MOST_SWEPT, max(SLICE, 2 * left))
        if ends:
            await self._runs.settle(ends, wait=False)
        if self._ready:
            self._leading.wake_scheduler()

    def _lost(self, run: JobRun, key: RunKey) -> RunEnd:
        """Its lease ran out: its process was lost, or was frozen, while it ran."""
        job = self._mirror.get(run.job_id)
        told = "its process was lost while it ran"
        if run.policy is RunPolicy.AT_MOST_ONCE:
            return RunEnd(key=key, state=RunState.UNKNOWN, token=run.lease_token, error=told)
        retry = self._default
        if job is not None and job.definition is not None:
            _, retry = policy_of(job.definition.function, self._default)
        if run.attempts >= retry.attempts:
            told = f"{told}, for the {run.attempts}. time"
            return RunEnd(key=key, state=RunState.FAILED, token=run.lease_token, error=told)
        # The first time it is the deployment; whoever loses process after process waits.
        pause = backoff(run.attempts, retry, self._random) if run.attempts > 1 else timedelta(0)
        return RunEnd(key=key, state=RunState.DUE, token=run.lease_token, error=told, retry_in=pause)

    async def _prune(self) -> None:
        if time.monotonic() - self._pruned < PRUNE_SECONDS:
            return
        self._pruned = time.monotonic()
        pruned = PRUNED_AT_ONCE
        while pruned == PRUNED_AT_ONCE:
            pruned = await self._runs.prune(older_than=self._keep, limit=PRUNED_AT_ONCE)


def next_fire_time(trigger: BaseTrigger, previous: datetime, now: datetime) -> datetime | None:
    """The trigger's next fire time after `previous`, in UTC. It is told the previous one in its own zone."""
    home: Any = getattr(trigger, "timezone", None)
    if home is None:
        home = next((each.timezone for each in getattr(trigger, "triggers", ()) if hasattr(each, "timezone")), UTC)
    found: datetime | None = trigger.get_next_fire_time(previous.astimezone(home), now.astimezone(home))
    return None if found is None else found.astimezone(UTC)
