"""What the scheduler reads: by an index, whatever stands around it, and in a bounded number of statements."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from outboxes import at
from sqlalchemy import event, insert, select
from timetables import every, schedule

from dovecote.model import Origin
from dovecote.scheduler import Scheduler, SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outboxes import Outbox
    from sqlalchemy import Connection

    from dovecote.model import Fired

MANY = 100_000


class Nobody:
    """`ports.Leadership` of an instance that always leads."""

    term: int | None = 1

    async def changed(self) -> None:
        await asyncio.Event().wait()


class Collected:
    """`ports.ScheduleObserver` that keeps what it is told."""

    def __init__(self) -> None:
        self.fired: list[Fired] = []

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        assert all(seconds >= 0 for seconds in late)
        self.fired.append(fired)


async def fill(outbox: Outbox, count: int, *, due: int) -> None:
    """So many schedules, the first `due` of them due at second 60, the others tomorrow; one in seven is paused."""
    record = await outbox.schedules.add(schedule("s0", recurrence=every(60)))
    table = outbox.database.tables.schedule

    def copy(connection: Connection) -> None:
        row = dict(connection.execute(select(table).where(table.c.id == record.id)).one()._mapping)
        del row["id"]
        rows = [
            {
                **row,
                "name": f"s{number}",
                "due_at": at(60) if number < due else None if number % 7 == 0 else at(86_400 + number),
                "origin": Origin.API.value,
            }
            for number in range(1, count)
        ]
        for start in range(0, len(rows), 5000):
            connection.execute(insert(table), rows[start : start + 5000])
        # What became of fire times long ago.
        past = {"schedule_id": record.id, "part": "", "wall": "", "happened": "fired", "version": 1, "notifications": 1}
        connection.execute(
            insert(outbox.database.tables.occurrence),
            [{**past, "fire_at": at(-number), "fired_at": at(-number)} for number in range(1, 5001)],
        )

    await outbox.database.run(copy, write=True)


def explained(sql: str, parameters: Any, connection: Connection) -> str:
    """How the database would run it, as text."""
    how = "(FORMAT JSON) " if connection.dialect.name == "postgresql" else "QUERY PLAN "
    rows = connection.exec_driver_sql(f"EXPLAIN {how}{sql}", parameters).all()
    return json.dumps([list(row) for row in rows])


def _dialect(outbox: Outbox) -> Any:
    assert outbox.database.async_engine is not None
    return outbox.database.async_engine.sync_engine


async def test_of_a_hundred_thousand_the_due_ones_are_found_by_an_index(outbox: Outbox) -> None:
    await fill(outbox, MANY, due=3)
    if outbox.database.is_postgresql:
        await outbox.sql("ANALYZE")
    await outbox.advance(60)
    seen: list[tuple[str, Any]] = []

    due = await outbox.firing.due(limit=250, overdue_by=timedelta(0))

    assert len(due.records) == 3
    assert due.next_due_in is not None
    engine: Any = outbox.database._engine or _dialect(outbox)
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append((given[2], given[3])))
    # A connection that is held was made before; this one is observed.
    await outbox.firing.close()
    await outbox.firing.due(limit=250, overdue_by=timedelta(0))
    reads = [(sql, params) for sql, params in seen if "due_at" in sql or "turn_at" in sql]
    assert len(reads) == 3
    for sql, params in reads:
        plan = await outbox.database.run(partial(explained, sql, params))
        index = "occurrence_open" if "turn_at" in sql else "schedule_due"
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan


async def test_ten_thousand_at_one_second_are_fired_in_bounded_transactions_beside_a_loop_that_goes_on(
    outbox: Outbox,
) -> None:
    """How many seconds it takes is measured by `python -m bench.schedules`; here the work is counted."""
    count = 2000
    await fill(outbox, count, due=count)
    await outbox.advance(60)
    collected = Collected()
    scheduler = Scheduler(outbox.firing, Nobody(), SchedulerSettings(), collected)
    turns, longest = 0, 0.0

    async def other_work() -> None:
        nonlocal turns, longest
        while True:
            # Of this thread alone: what else the machine does is not judged.
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)
            turns += 1

    other = asyncio.create_task(other_work())
    # The heap of all the tests is not the scheduler's; a service freezes its own when it starts.
    gc.disable()
    try:
        next_due_in = await scheduler.fire_due()
    finally:
        gc.enable()
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)

    sizes = [len(fired.occurrences) for fired in collected.fired]
    assert sum(sizes) == count
    assert max(sizes) <= 100
    assert len(sizes) == count // 100
    assert next_due_in is not None
    # The loop had its turn again and again: between reading, planning and writing of each batch.
    assert turns >= 2 * len(sizes)
    assert longest < 0.05
    keys = [row.key for row in await outbox.rows("notification")]
    assert len(set(keys)) == count
