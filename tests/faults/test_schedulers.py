"""Schedulers in real processes, one to four of them, cut off at the worst moments: each fire time is committed once.

The whole of points, numbers of processes and lease stores runs in `make chaos`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from campaigns import campaign
from deliveries import until
from migrated import migrate
from scheduler_runs import LEASE, POINTS, Run, cut_off

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databases import PostgresDatabases
    from servers import PostgresServer
    from valkey_servers import ValkeyServer


async def instances(run: Run) -> dict[str, tuple[str, int]]:
    """Host name and process id of every instance that was known, by its own id."""
    table = run.dovecote.database.tables.leadership.instance
    rows = await run.dovecote.database.run(lambda c: list(c.execute(table.select()).all()))
    return {row.id: (row.host, row.pid) for row in rows}


async def are_known(run: Run, count: int) -> bool:
    return len(await instances(run)) == count


@pytest.fixture
def migrated_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A migrated database on PostgreSQL."""
    url = postgres.create_database(postgres.template("migrated", migrate))
    yield url
    postgres.drop_database(url)


@pytest.mark.parametrize(
    ("outbox_url", "processes"),
    campaign(
        [("postgresql", 1), ("sqlite", 2), ("postgresql", 2), ("postgresql", 4)],
        always=[("sqlite", 2), ("postgresql", 4)],
    ),
    indirect=["outbox_url"],
)
async def test_however_many_processes_there_are(outbox_url: str, tmp_path: Path, processes: int) -> None:
    async with Run(outbox_url, tmp_path) as run:
        for _ in range(processes):
            run.start()
        await run.go_on(4)
        verdict = await run.end()

    assert verdict.is_exact, verdict


@pytest.mark.parametrize("point", campaign(POINTS, always=["inside the transaction", "before renewal"]))
async def test_a_leader_that_is_frozen_beyond_its_lease(migrated_url: str, tmp_path: Path, point: str) -> None:
    async with Run(migrated_url, tmp_path) as run:
        verdict = await cut_off(run, processes=2, point=point, with_signal="SIGSTOP")

    assert verdict.is_exact, verdict


@pytest.mark.parametrize(
    ("outbox_url", "point", "processes"),
    campaign(
        [("sqlite", "inside the transaction", 1), ("postgresql", "before commit", 2)],
        always=[("postgresql", "before commit", 2)],
    ),
    indirect=["outbox_url"],
)
async def test_a_leader_that_is_killed(outbox_url: str, tmp_path: Path, point: str, processes: int) -> None:
    async with Run(outbox_url, tmp_path) as run:
        verdict = await cut_off(run, processes=processes, point=point, with_signal="SIGKILL")

    assert verdict.is_exact, verdict


@pytest.mark.parametrize(
    ("fault", "processes"),
    campaign(
        [(fault, processes) for fault in ("killed", "paused", "flushed") for processes in (1, 2, 4)],
        always=[("killed", 2), ("paused", 2)],
    ),
)
async def test_redis_fails_and_comes_back(
    migrated_url: str, tmp_path: Path, own_valkey: ValkeyServer, fault: str, processes: int
) -> None:
    """Without it nobody leads, and the sweeps go on."""
    async with Run(migrated_url, tmp_path, redis=own_valkey.url) as run:
        for _ in range(processes):
            run.start()
        await run.go_on(2)
        if fault == "flushed":
            own_valkey.flush()
        elif fault == "killed":
            own_valkey.kill()
            await run.go_on(2.5 * LEASE)
            assert (await run.dovecote.leadership()).leader is None
            own_valkey.start()
        else:
            own_valkey.freeze()
            await until(lambda: all("has not answered within" in process.log for process in run.processes), bound=60)
            await run.go_on(2.5 * LEASE)
            own_valkey.thaw()
        await run.go_on(2)
        verdict = await run.end()

    assert verdict.is_exact, verdict


@pytest.mark.parametrize(
    ("elected_by", "processes"), campaign([("row", 2), ("valkey", 2), ("row", 4)], always=[("valkey", 2)])
)
async def test_processes_of_one_host_name_and_one_process_id(
    migrated_url: str, tmp_path: Path, request: pytest.FixtureRequest, elected_by: str, processes: int
) -> None:
    """As containers have them: one leads, is killed, and the other leads."""
    redis = None if elected_by == "row" else request.getfixturevalue("valkey_url")
    async with Run(migrated_url, tmp_path, redis=redis) as run:
        run.start(twin=True, point="before commit", after=3, signal="SIGKILL")
        await run.go_on(1)
        for _ in range(processes - 1):
            run.start(twin=True)
        await run.stopped_itself(run.processes[0])
        await until(lambda: are_known(run, processes), bound=60)
        await run.go_on(2)
        known = list((await instances(run)).values())
        verdict = await run.end()

    assert verdict.is_exact, verdict
    assert known == [("twin", 1)] * processes


@pytest.mark.parametrize("processes", campaign([1, 2, 4], always=[2]))
async def test_a_database_that_is_restarted(own_postgres: PostgresServer, tmp_path: Path, processes: int) -> None:
    url = own_postgres.create_database()
    migrate(url)
    async with Run(url, tmp_path) as run:
        for _ in range(processes):
            run.start()
        await run.go_on(2)
        own_postgres.kill()
        own_postgres.start()
        await run.go_on(3)
        own_postgres.restart()
        await run.go_on(2)
        verdict = await run.end()

    assert verdict.is_exact, verdict


@pytest.mark.parametrize(
    ("elected_by", "processes"),
    campaign([(by, count) for by in ("row", "valkey") for count in (1, 2, 4)], always=[("row", 2)]),
)
async def test_clocks_that_are_an_hour_off(
    migrated_url: str, tmp_path: Path, request: pytest.FixtureRequest, elected_by: str, processes: int
) -> None:
    redis = None if elected_by == "row" else request.getfixturevalue("valkey_url")
    async with Run(migrated_url, tmp_path, redis=redis) as run:
        run.start(clock_off=3600, point="before insert", after=8, signal="SIGSTOP")
        await run.go_on(1)
        for number in range(processes - 1):
            run.start(clock_off=-3600 if number % 2 == 0 else 3600)
        await run.stopped_itself(run.processes[0])
        await (run.go_on(2) if processes > 1 else asyncio.sleep(2))
        run.processes[0].thaw()
        await run.go_on(1)
        verdict = await run.end()

    assert verdict.is_exact, verdict
    assert verdict.latest < 30


async def test_the_checker_finds_what_is_missed_and_what_is_extra(migrated_url: str, tmp_path: Path) -> None:
    async with Run(migrated_url, tmp_path) as run:
        run.start()
        await run.go_on(3)
        assert (await run.end()).is_exact
        table = run.dovecote.database.tables.occurrence
        notification = run.dovecote.database.tables.notification
        first = (await run.dovecote.schedules.occurrences("s0"))[-1]

        gone = table.delete().where(table.c.schedule_id == first.schedule_id, table.c.fire_at == first.fire_at)
        await run.dovecote.database.run(lambda c: c.execute(gone), write=True)
        missed = await run.judge()
        again = notification.insert().from_select(
            [c.name for c in notification.c if c.name != "id"],
            notification.select()
            .with_only_columns(*(c for c in notification.c if c.name != "id"))
            .where(notification.c.chat == "2")
            .limit(1),
        )
        await run.dovecote.database.run(lambda c: c.execute(again), write=True)
        extra = await run.judge()

    assert missed.missed == [("s0", first.fire_at)]
    assert [name for name, _ in extra.extra] == ["s1"]
