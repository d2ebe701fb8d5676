"""How long 10,000 schedules that are due at one second take, and how long the event loop stands still meanwhile.

    python -m bench.schedules [COUNT]

On SQLite and on PostgreSQL 18, one process each, every schedule with one notification.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import PostgresServer

from dovecote.app import Dovecote
from dovecote.model import Every, Notification, Schedule, Timing
from dovecote.scheduler import Scheduler, SchedulerSettings
from dovecote.service import delivery_only
from dovecote.stores.firing import FiringStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from dovecote.model import Fired

PROBE = 0.001


class Leads:
    """An instance that always leads."""

    term: int | None = 1

    async def changed(self) -> None:
        """Nothing changes."""
        await asyncio.Event().wait()


class Latest:
    """Remembers how late the latest was."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        """Look at one transaction."""
        self.count += len(fired.occurrences)
        self.seconds = max([self.seconds, *late])


async def fill(dovecote: Dovecote, count: int) -> None:
    """So many schedules that are all due at one second, a few seconds from now."""
    await dovecote.migrate()
    await dovecote.add_bot("shop", token_variable="TOKEN")
    begin = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None, microsecond=0)
    record = await dovecote.schedules.add(
        Schedule(
            name="s0",
            timing=Timing(recurrence=Every(timedelta(days=1), begin)),
            notification=Notification(bot="shop", chat_id=1, text="Hello"),
        )
    )
    table = dovecote.database.tables.schedule

    def copy(connection: Connection) -> None:
        row = dict(connection.execute(select(table).where(table.c.id == record.id)).one()._mapping)  # noqa: SLF001
        del row["id"]
        rows = [{**row, "name": f"s{number}"} for number in range(1, count)]
        for start in range(0, len(rows), 2000):
            connection.execute(insert(table), rows[start : start + 2000])

    await dovecote.database.run(copy, write=True)


async def shift(dovecote: Dovecote) -> None:
    """Let the common fire time be in half a second: the anchor of all is moved in the rows."""
    table = dovecote.database.tables.schedule
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    anchor = soon.replace(tzinfo=None).isoformat()
    text = f'{{"every":86400.0,"anchor":"{anchor}"}}'
    before = soon - timedelta(seconds=1)
    values = {
        "recurrence": text,
        "next_fire_at": soon,
        "due_at": soon,
        "cursor_at": before,
        "cursor_wall": before.replace(tzinfo=None).isoformat(),
    }
    await dovecote.database.run(lambda c: c.execute(table.update().values(**values)), write=True)


async def measure(url: str, count: int) -> None:
    """Fire them, and print what it took."""
    async with Dovecote(url) as dovecote:
        await fill(dovecote, count)
        latest = Latest()
        scheduler = Scheduler(FiringStore(dovecote.database), Leads(), SchedulerSettings(), latest)
        await shift(dovecote)
        gaps: list[float] = []
        busy: list[float] = []

        async def probe() -> None:
            last, last_busy = time.perf_counter(), time.thread_time()
            while True:
                await asyncio.sleep(PROBE)
                now, now_busy = time.perf_counter(), time.thread_time()
                gaps.append(now - last - PROBE)
                busy.append(now_busy - last_busy)
                last, last_busy = now, now_busy

        delivery_only()
        probing = asyncio.create_task(probe())
        running = asyncio.create_task(scheduler.run())
        began = time.perf_counter()
        while latest.count < count:  # noqa: ASYNC110 (what counts is told from another task, once in a while)
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        scheduler.stop()
        await running
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        gaps.sort()
        print(
            f"{url.partition(':')[0]:<11} {count:,} schedules: the last {latest.seconds:.2f} s after its time"
            f" ({took:.2f} s from the update of all), the loop stood still for {gaps[-1] * 1000:.0f} ms at most,"
            f" {gaps[int(len(gaps) * 0.99)] * 1000:.0f} ms at the 99th percentile, of which it was itself busy for"
            f" {max(busy) * 1000:.0f} ms at most"
        )


def main() -> None:
    """Measure both databases."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(f"sqlite:///{folder}/x.db", count))
    with PostgresServer(18, fsync=True) as server:
        asyncio.run(measure(server.create_database(), count))


if __name__ == "__main__":
    main()
