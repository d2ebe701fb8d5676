"""Thousands of simulated runs of schedulers that fail and fight: every fire time is committed once."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest
from simulated_schedules import Counted, SimulatedLeadership, SimulatedStore, at_once, mistakes, simulate
from timetables import every, schedule
from virtual_time import VirtualTimeLoop

from dovecote.scheduler import Scheduler, SchedulerSettings

# Thousands in `make chaos`.
RUNS = int(os.environ.get("DOVECOTE_TEST_RUNS", "300"))


def run_once(random: Random) -> SimulatedStore:
    async def run() -> tuple[SimulatedStore, list[str]]:
        store = await simulate(random)
        return store, mistakes(store)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        store, found = runner.run(run())
    assert found == []
    assert store.notifications
    return store


def test_each_fire_time_is_committed_once_whatever_befalls(seed: Random) -> None:
    latest = 0.0
    for number in range(RUNS):
        one = seed.getrandbits(64)
        try:
            latest = max(latest, run_once(Random(one)).latest)
        except BaseException as error:
            error.add_note(f"run {number}, alone: simulate(Random({one}))")
            raise

    # Outages of 3 s at a share of 0.3, one after the other, and pauses between tries.
    assert latest < 60


def test_the_checker_sees_a_double_and_a_gap(seed: Random) -> None:
    async def run() -> list[str]:
        store = await simulate(seed)
        first, second, *_ = store.notifications
        store.notifications[first] += 1
        del store.notifications[second]
        return mistakes(store)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        found = runner.run(run())

    assert len(found) == 2
    assert "fired 2 times" in found[1]
    assert "missed" in found[0]


@pytest.mark.parametrize("leads", [True, False])
def test_without_faults_the_leader_is_on_time_and_the_sweeps_are_seconds_late(seed: Random, leads: bool) -> None:  # noqa: FBT001
    async def run() -> float:
        store = SimulatedStore(seed, 0)
        for number in range(5):
            store.add(schedule(f"s{number}", recurrence=every(1 + number)))
        leadership = SimulatedLeadership()
        leadership.lead(1 if leads else None)
        scheduler = Scheduler(store, leadership, SchedulerSettings(), Counted(), random=seed, apart=at_once)
        task = asyncio.create_task(scheduler.run())
        await asyncio.sleep(60)
        scheduler.stop()
        await task
        assert len(store.notifications) > 100
        return store.latest

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        latest = runner.run(run())

    # Two requests of up to 20 ms each, one after the other; a sweep comes every 5 s at most for what is 3 s overdue.
    assert (latest < 0.1) if leads else (3 <= latest < 8.2)
