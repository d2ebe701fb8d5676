"""10,000 jobs due at once: all of them run, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import job_functions
import pytest
from deliveries import until
from elected_nodes import node

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.integrations.apscheduler.definitions import definition_state
from dovecote.integrations.apscheduler.store import HANDED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 10_000
PROBED = 0.002
"""Seconds: a probe that looks without a pause would be what holds the others up."""
# The machine is shared with others: a few of the longest gaps are theirs. A block of ours would be seconds, each time.
TOLERATED = 0.25


async def put(url: str, count: int, due_at: datetime) -> None:
    """Write so many jobs, due at one moment, past the scheduler."""
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    definition = definition_state(
        "job_functions:note",
        {
            "args": [],
            "kwargs": {},
            "trigger": CronTrigger(hour=3, timezone="Europe/Berlin"),
            "executor": "default",
            "name": "note",
            "misfire_grace_time": None,
            "coalesce": True,
            "max_instances": 1,
        },
    )
    async with Dovecote(url, settings=Settings()) as dovecote:
        job = dovecote.database.tables.jobs.job
        rows = [
            {
                "store": "dovecote.jobs",
                "id": f"j{number:05}",
                "definition": definition,
                "revision": 1,
                "next_run_at": due_at,
                "finished": False,
                "created_at": due_at,
                "changed_at": due_at,
                "problem": None,
            }
            for number in range(count)
        ]
        await dovecote.database.run(lambda connection: connection.execute(job.insert(), rows), write=True)


class LagProbe:
    """Looks at the clock whenever the loop lets it, and remembers the gaps in seconds."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(PROBED)
            now = time.perf_counter()
            self.gaps.append(now - last - PROBED)
            last = now

    def stop(self) -> Sequence[float]:
        self._task.cancel()
        return sorted(self.gaps, reverse=True)


@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
async def test_ten_thousand_jobs_due_at_once_do_not_hold_the_loop(
    url: str, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await put(url, MANY, datetime.now(UTC) - timedelta(seconds=1))
    async with node(url, valkey_url, term=None) as leader:
        leader.scheduler.remove_listener(leader.events.append)
        handed: list[int] = []
        get_due_jobs = leader.store.get_due_jobs

        def counted(now: datetime) -> list[object]:
            found: list[object] = get_due_jobs(now)
            handed.append(len(found))
            return found

        leader.store.get_due_jobs = counted  # type: ignore[method-assign]
        # What pytest and its plugins have in memory is no part of the question.
        gc.collect()
        gc.freeze()
        probe = LagProbe()
        began = time.monotonic()

        leader.leader.set(1)
        await until(lambda: len(job_functions.CALLS) == MANY, bound=120)

        seconds = time.monotonic() - began
        gaps = probe.stop()
        gc.unfreeze()
        with capsys.disabled():
            shown = ", ".join(f"{gap * 1000:.0f}" for gap in gaps[:5])
            print(f"\n{MANY} jobs in {seconds:.1f} s; the longest gaps of the loop: {shown} ms")  # noqa: T201
        assert max(handed) <= HANDED_AT_ONCE
        assert sum(handed) >= MANY
        assert gaps[0] < TOLERATED
        over = sum(gap > 0.05 for gap in gaps)
        assert over <= len(gaps) / 1000 + 3
