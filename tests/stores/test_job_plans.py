"""What the statements of jobs read on PostgreSQL, counted by the server: nothing in sequence, whatever there is."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from databases import connect

from dovecote.model import Plan, PlannedRun, RunEnd, RunKey, RunPolicy, RunState, StartedRun
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.job_runs import JobRuns
from dovecote.stores.jobs import JobRecords, Jobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[[Jobs, JobRuns, JobRecords], Awaitable[Any]]

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
LEASE = timedelta(seconds=15)
# 1,000 jobs with 100 runs each, all but ten of them ended.
FILL = """
ALTER TABLE dovecote.job SET (autovacuum_enabled = off);
ALTER TABLE dovecote.job_run SET (autovacuum_enabled = off);
INSERT INTO dovecote.job (store, id, definition, revision, next_run_at, finished, created_at, changed_at)
SELECT 's', 'j' || i, '{}', 1, '2026-01-05 12:00+00', false, now(), now() FROM generate_series(1, 1000) i;
INSERT INTO dovecote.job_run (
    store, job_id, fire_at, state, policy, due_at, lease_token, term, planned_at, started_at, ended_at
)
SELECT 's', 'j' || i, '2026-01-01 00:00+00'::timestamptz + n * interval '1 minute',
    CASE WHEN unfinished THEN 'running' ELSE 'done' END, 'at_most_once',
    CASE WHEN unfinished THEN now() END, 7, 1, now(), now(), CASE WHEN NOT unfinished THEN now() END
FROM generate_series(1, 1000) i, generate_series(1, 100) n, LATERAL (SELECT i <= 10 AND n = 100 AS unfinished) v;
"""
KEYS = [RunKey(f"j{i}", datetime(2026, 1, 1, 1, 40, tzinfo=UTC)) for i in range(1, 11)]
END = RunEnd(key=KEYS[0], state=RunState.DONE, token=7)
PLAN = Plan(
    job_id="j1",
    revision=1,
    due_at=AT,
    next_run_at=AT + timedelta(hours=1),
    runs=(PlannedRun(fire_at=AT, policy=RunPolicy.AT_MOST_ONCE),),
)

STATEMENTS: dict[str, Work] = {
    "plan": lambda _, runs, __: runs.plan([PLAN], instance="here", term=1),
    "start": lambda _, runs, __: runs.start(KEYS, token=7, lease=LEASE, instance="here", term=1),
    "settle": lambda _, runs, __: runs.settle([END]),
    "settle what is free": lambda _, runs, __: runs.settle([END], wait=False),
    "sweep": lambda _, runs, __: runs.sweep(limit=100),
    "renew": lambda _, runs, __: runs.renew([StartedRun(key, 1, 7) for key in KEYS], lease=LEASE),
    "prune": lambda _, runs, __: runs.prune(older_than=timedelta(days=30), limit=1000),
    "show": lambda _, __, records: records.job("j5", store="s"),
    "change": lambda jobs, _, __: jobs.change("j5", "{}"),
    "some": lambda jobs, _, __: jobs.jobs(["j5", "j6"]),
    "remove": lambda jobs, _, __: jobs.remove("j5"),
    "list": lambda _, __, records: records.jobs(),
}


def do(url: str, work: Work) -> None:
    """Do it on connections of its own, which the server counts when they end."""

    async def act() -> None:
        database = Database(outbox_url(url))
        await work(Jobs(database, "s"), JobRuns(database, "s"), JobRecords(database))
        await database.close()

    thread = threading.Thread(target=asyncio.run, args=(act(),))
    thread.start()
    thread.join()


def read_in_sequence(url: str) -> dict[str, int]:
    """Rows of each table that were read by sequential scans so far, once everybody has left."""
    with connect(url) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        end = time.monotonic() + 10
        while connection.execute(others.encode()).fetchone() != (0,):
            assert time.monotonic() < end, "somebody stays connected"
        rows = connection.execute(
            "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname IN ('job', 'job_run')"
        ).fetchall()
    return dict(rows)


@pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)
@pytest.mark.parametrize("analyzed", [True, False])
def test_no_statement_reads_in_sequence(outbox_database: str, analyzed: bool) -> None:  # noqa: FBT001 (a parameter)
    with connect(outbox_database) as connection:
        connection.execute(FILL.encode())
        if analyzed:
            connection.execute("VACUUM ANALYZE dovecote.job, dovecote.job_run")
    guilty = {}
    for name, work in STATEMENTS.items():
        before = read_in_sequence(outbox_database)
        do(outbox_database, work)
        after = read_in_sequence(outbox_database)
        read = {table: after[table] - before[table] for table in after}
        # The list shows every job; what it must not do is to read every run. Pruning asks which jobs are finished.
        if name in {"list", "prune"}:
            in_sequence = read.pop("job")
            # Guards the whole: what is read in sequence is counted.
            assert name != "list" or in_sequence >= 999
        if any(read.values()):
            guilty[name] = read

    assert guilty == {}
