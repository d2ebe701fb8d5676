"""Elected schedulers for tests: on a real database and a real Valkey, with leadership that the test decides."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from deliveries import until

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.integrations.apscheduler import RedisJobStore, Timing, elected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.model import JobRun

# On a machine that is busy with other things nothing is late, and no lease is lost, unless a test wants it.
TIMING = Timing(lease=timedelta(seconds=10), answer=20.0)
PATIENT = {"misfire_grace_time": 60}


class Leader:
    """`ports.Leadership` by the test's decree."""

    def __init__(self, term: int | None = None) -> None:
        self.term = term
        self._change = asyncio.Event()

    async def changed(self) -> None:
        await self._change.wait()

    def set(self, term: int | None) -> None:
        self.term = term
        self._change.set()
        self._change = asyncio.Event()


class Node:
    """One process's scheduler. `leader` says whether it leads."""

    def __init__(self, dovecote: Dovecote, redis_url: str, leader: Leader, **options: Any) -> None:
        self.dovecote = dovecote
        self.leader = leader
        url = urlsplit(redis_url)
        self.store = RedisJobStore(host=url.hostname, port=url.port, db=1)
        self.scheduler: Any = elected(
            AsyncIOScheduler(jobstores={"default": self.store}, timezone="UTC", **{"job_defaults": PATIENT, **options}),
            dovecote,
            leadership=leader,
            timing=TIMING,
        )
        self.events: list[Any] = []
        self.scheduler.add_listener(self.events.append)

    def event_codes(self, job_id: str) -> list[int]:
        return [event.code for event in self.events if getattr(event, "job_id", None) == job_id]

    async def runs(self, job_id: str) -> list[JobRun]:
        """The runs of a job, the earliest first."""
        _, runs = await self.dovecote.jobs.job(job_id, limit=100_000)
        return list(reversed(runs))

    async def states(self, job_id: str) -> list[str]:
        """The states of its runs."""
        try:
            return [run.state.value for run in await self.runs(job_id)]
        except LookupError:
            return []

    async def until_states(self, job_id: str, *states: str) -> None:
        """Wait until its runs are in these states."""

        async def reached() -> bool:
            return await self.states(job_id) == list(states)

        await until(reached)


@asynccontextmanager
async def node(url: str, redis_url: str, term: int | None = 1, **options: Any) -> AsyncIterator[Node]:
    """A started scheduler of a process that leads in `term`, or follows; ended when the block is."""
    async with Dovecote(url, settings=Settings()) as dovecote:
        made = Node(dovecote, redis_url, Leader(term), **options)
        made.scheduler.start()
        keeper = made.store._keeper
        assert keeper is not None
        try:
            yield made
        finally:
            if made.scheduler.running:
                made.scheduler.shutdown()
            await asyncio.sleep(0)  # what it does, it does in the loop
            await until(lambda: not made.scheduler.running)
            assert await asyncio.to_thread(keeper.join), "the job store goes on after the scheduler's end"
